"""Tokens: JWT (HS256) that say who asks and what for.

Claims: iss, aud, sub (who), scope (space separated), iat, exp (both seconds since 1970), jti.

References:
    JSON Web Token (RFC 7519, 2015); the scope claim (RFC 8693 section 4.2, 2020); the length of an HS256 key
    (RFC 7518 section 3.2, 2015: at least the hash's 32 bytes).
"""

import re
import secrets
from collections.abc import Iterable

from jose import jwt

from common.clock import SECOND_US
from common.errors import ConfigError
from common.events import ID_REGEX
from deployments.secret_files import ensure_secret
from deployments.settings import Settings

ALGORITHM = "HS256"
ISSUER = "cartcast"
AUDIENCE = "cartcast-api"
SCOPES = ("predict", "events", "experiments", "read", "admin")
SECRET_FILE = "jwt.secret"  # noqa: S105 - the name of the file

_UNIT_S = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400}


def signing_secret(settings: Settings) -> str:
    """The secret that signs tokens: the setting, else the one in the state directory, made at first use.

    Raises:
        ConfigError: there is one that is too short, or that others can read.
    """
    if settings.jwt_secret is not None:
        return settings.jwt_secret.get_secret_value()
    path = settings.state_dir / SECRET_FILE
    secret = ensure_secret(path, lambda: secrets.token_urlsafe(48))
    if len(secret.encode()) < 32:
        raise ConfigError(
            f"the secret {path} has fewer than 32 bytes",
            remedy="Remove the file: a new one is made at the next start, and tokens issued before end",
        )
    return secret


def issue_token(secret: str, subject: str, scopes: Iterable[str], ttl_s: int, now_us: int) -> str:
    """A signed token for `subject` that holds for `ttl_s` seconds from `now_us`.

    Raises:
        ConfigError: a subject that is not an id, no scope or one that is not known, a time to live below a second.
    """
    if not ID_REGEX.fullmatch(subject):
        raise ConfigError(
            f"{subject!r} cannot be a subject", remedy="Use 1 to 100 of the characters A-Z a-z 0-9 _ . : @ -"
        )
    if ttl_s < 1:
        raise ConfigError("a token must hold for at least a second")
    issued_s = now_us // SECOND_US
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": subject,
        "scope": " ".join(_known(scopes)),
        "iat": issued_s,
        "exp": issued_s + ttl_s,
        "jti": secrets.token_hex(8),
    }
    return str(jwt.encode(claims, secret, algorithm=ALGORITHM))


def parse_scopes(text: str) -> list[str]:
    """Scopes as the command line gives them: `predict,read`.

    Raises:
        ConfigError: none, or one that is not known.
    """
    return _known(part for part in re.split(r"[,\s]+", text) if part)


def parse_ttl(text: str) -> int:
    """A time to live in seconds: `90`, `90s`, `15m`, `12h`, `30d`.

    Raises:
        ConfigError: anything else.
    """
    match = re.fullmatch(r"([0-9]{1,9})([smhd]?)", text.strip())
    if match is None or not int(match[1]):
        raise ConfigError(f"{text!r} is not a time to live", remedy="Write it like 90s, 15m, 12h or 30d")
    return int(match[1]) * _UNIT_S[match[2]]


def _known(scopes: Iterable[str]) -> list[str]:
    asked = list(dict.fromkeys(scopes))
    unknown = [scope for scope in asked if scope not in SCOPES]
    if unknown or not asked:
        what = f"no such scope: {', '.join(unknown)}" if unknown else "a token needs at least one scope"
        raise ConfigError(what, remedy=f"Known scopes: {', '.join(SCOPES)}")
    return asked
