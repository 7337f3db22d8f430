"""Who asks: the bearer token of a request, checked once and then remembered until it expires."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from jose import jwt
from jose.exceptions import JOSEError

from common.clock import SECOND_US
from common.errors import ScopeError, TokenError
from deployments.tokens import ALGORITHM, AUDIENCE, ISSUER

MAX_HEADER = 4_096
"""The longest Authorization header that is looked at, in characters; a token of ours has about 350."""

MAX_REMEMBERED = 10_000
"""Tokens remembered per process: about 10 MB at most."""

LEEWAY_S = 30
"""How far the clock of the machine that issued a token may be ahead, seconds."""

_REMEDY = "Make a token with: python -m deployments token --subject NAME --scopes predict"

# exp and iat are checked against the caller's clock, here
_OPTIONS = {
    "verify_exp": False,
    "verify_iat": False,
    # jose checks a claim that is there; that it must be there is said here (of exp and iat, it would turn the
    # check against its own clock on again: reading them below is what demands those)
    **{f"require_{claim}": True for claim in ("iss", "aud", "sub")},
}


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks, what for, and until when that holds (UTC microseconds)."""

    subject: str
    scopes: frozenset[str]
    expires_us: int


class Authenticator:
    """Turns Authorization headers into principals. Nothing cryptographic is done twice for one token."""

    def __init__(self, secret: str, *, max_remembered: int = MAX_REMEMBERED) -> None:
        self._secret = secret
        self._max_remembered = max_remembered
        self._known: OrderedDict[str, Principal] = OrderedDict()

    def subject_of(self, authorization: str | None, needed_scope: str, now_us: int) -> Principal:
        """Who sent this header, if they may use `needed_scope`.

        Raises:
            TokenError: no token, or one that is malformed, altered, expired or not ours (HTTP 401).
            ScopeError: a good token without the scope (HTTP 403).
        """
        principal = self._known.get(authorization) if authorization else None
        if principal is None:
            principal = self._remember(authorization or "", now_us)
        elif principal.expires_us <= now_us:
            del self._known[str(authorization)]
            raise _expired()
        if needed_scope not in principal.scopes:
            raise ScopeError(
                f"the token of {principal.subject} lacks the scope {needed_scope}",
                remedy=f"Make one with: python -m deployments token --subject NAME --scopes {needed_scope}",
                scope=needed_scope,
            )
        return principal

    def _remember(self, authorization: str, now_us: int) -> Principal:
        principal = self._verify(_bearer(authorization), now_us)
        if len(self._known) >= self._max_remembered:
            self._known.popitem(last=False)
        self._known[authorization] = principal
        return principal

    def _verify(self, token: str, now_us: int) -> Principal:
        try:
            claims: dict[str, Any] = jwt.decode(
                token, self._secret, algorithms=[ALGORITHM], audience=AUDIENCE, issuer=ISSUER, options=_OPTIONS
            )
            expires_us = int(claims["exp"]) * SECOND_US
            issued_us = int(claims["iat"]) * SECOND_US
            scopes = frozenset(str(claims.get("scope", "")).split())
        except (JOSEError, ValueError, TypeError, KeyError, OverflowError) as error:
            raise TokenError("the token is not one of ours", remedy=_REMEDY) from error
        if expires_us <= now_us:
            raise _expired()
        if issued_us > now_us + LEEWAY_S * SECOND_US:
            raise TokenError("the token was issued in the future", remedy="Set the clock of the machine that issued it")
        return Principal(str(claims["sub"]), scopes, expires_us)


def _bearer(authorization: str) -> str:
    scheme, _, token = authorization[: MAX_HEADER + 1].partition(" ")
    if not authorization:
        raise TokenError("the request has no token", remedy=_REMEDY, given=False)
    if len(authorization) > MAX_HEADER or scheme.lower() != "bearer" or not token.strip():
        raise TokenError("the Authorization header is not of the form: Bearer TOKEN", remedy=_REMEDY)
    return token.strip()


def _expired() -> TokenError:
    return TokenError("the token has expired", remedy=_REMEDY)
