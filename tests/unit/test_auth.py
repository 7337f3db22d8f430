import base64
import json
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jose import jwt

from common.clock import SECOND_US
from common.errors import AuthError, ConfigError, ScopeError, TokenError
from deployments.auth import MAX_HEADER, Authenticator
from deployments.settings import load_settings
from deployments.tokens import SCOPES, issue_token, parse_scopes, parse_ttl, signing_secret

SECRET = "s" * 32
NOW = 1_700_000_000 * SECOND_US


def bearer(**claims):
    ours = {"iss": "cartcast", "aud": "cartcast-api", "sub": "shop", "scope": "predict", "iat": 1_700_000_000}
    ours |= {"exp": 1_700_000_060} | claims
    return "Bearer " + jwt.encode({k: v for k, v in ours.items() if v is not None}, SECRET, algorithm="HS256")


def test_a_token_says_who_asks_and_what_for():
    token = issue_token(SECRET, "shop-1", ["predict", "read"], 60, NOW)

    principal = Authenticator(SECRET).subject_of(f"Bearer {token}", "read", NOW)

    assert principal.subject == "shop-1"
    assert principal.scopes == {"predict", "read"}
    assert principal.expires_us == NOW + 60 * SECOND_US


def test_a_scope_that_the_token_lacks_is_named():
    authenticator = Authenticator(SECRET)

    with pytest.raises(ScopeError, match="admin") as caught:
        authenticator.subject_of(bearer(), "admin", NOW)

    assert caught.value.details == {"scope": "admin"}
    with pytest.raises(ScopeError):  # remembered now, and still without it
        authenticator.subject_of(bearer(), "admin", NOW)


def test_a_token_ends_at_its_time_also_when_it_is_remembered():
    authenticator = Authenticator(SECRET)
    header = bearer()

    assert authenticator.subject_of(header, "predict", NOW + 60 * SECOND_US - 1).subject == "shop"
    with pytest.raises(TokenError, match="expired"):
        authenticator.subject_of(header, "predict", NOW + 60 * SECOND_US)
    with pytest.raises(TokenError, match="expired"):
        authenticator.subject_of(header, "predict", NOW + 60 * SECOND_US)


@pytest.mark.parametrize("claim", ["iss", "aud", "sub", "exp", "iat"])
def test_a_token_without_one_of_its_claims_is_refused(claim):
    with pytest.raises(TokenError):
        Authenticator(SECRET).subject_of(bearer(**{claim: None}), "predict", NOW)


@pytest.mark.parametrize(
    "claims",
    [{"iss": "somebody"}, {"aud": "another-api"}, {"exp": "soon"}, {"exp": float("inf")}, {"iat": 1_700_000_031}],
    ids=str,
)
def test_a_token_with_a_wrong_claim_is_refused(claims):
    with pytest.raises(TokenError):
        Authenticator(SECRET).subject_of(bearer(**claims), "predict", NOW)


def test_a_token_signed_with_another_secret_or_not_at_all_is_refused():
    header, payload, _ = bearer().removeprefix("Bearer ").split(".")
    unsigned = base64.urlsafe_b64encode(json.dumps({"alg": "none", "typ": "JWT"}).encode()).rstrip(b"=").decode()

    for token in (
        f"{header}.{payload}.",
        f"{unsigned}.{payload}.",
        issue_token("x" * 32, "shop", ["predict"], 60, NOW),
    ):
        with pytest.raises(TokenError):
            Authenticator(SECRET).subject_of(f"Bearer {token}", "predict", NOW)


def test_only_the_pinned_algorithm_counts():
    claims = jwt.get_unverified_claims(bearer().removeprefix("Bearer "))
    other = jwt.encode(claims, SECRET, algorithm="HS512")

    with pytest.raises(TokenError):
        Authenticator(SECRET).subject_of(f"Bearer {other}", "predict", NOW)


@given(st.text(max_size=40) | st.text(max_size=40).map(lambda text: f"Bearer {text}"))
def test_no_header_breaks_the_check(header):
    with pytest.raises(AuthError):
        Authenticator(SECRET).subject_of(header, "predict", NOW)


def test_a_header_of_any_length_is_refused_before_it_is_decoded():
    with pytest.raises(TokenError, match="form"):
        Authenticator(SECRET).subject_of("Bearer " + "a" * MAX_HEADER, "predict", NOW)


def test_what_is_remembered_is_bounded_and_checked_once(monkeypatch):
    authenticator = Authenticator(SECRET, max_remembered=2)
    headers = [f"Bearer {issue_token(SECRET, name, ['predict'], 60, NOW)}" for name in "abc"]
    for header in headers:
        authenticator.subject_of(header, "predict", NOW)

    monkeypatch.setattr("deployments.auth.jwt.decode", None)  # a second check would now fail

    assert authenticator.subject_of(headers[2], "predict", NOW).subject == "c"
    assert authenticator.subject_of(headers[1], "predict", NOW).subject == "b"
    with pytest.raises(TokenError):
        authenticator.subject_of(headers[0], "predict", NOW)


def test_scopes_are_of_a_known_set():
    assert parse_scopes("predict, read,predict") == ["predict", "read"]
    assert parse_scopes(",".join(SCOPES)) == list(SCOPES)
    for text in ("", " , ", "predict,root"):
        with pytest.raises(ConfigError, match="scope"):
            parse_scopes(text)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("15m", 900), ("12h", 43_200), ("30d", 2_592_000)]
)
def test_a_time_to_live_has_a_unit(text, seconds):
    assert parse_ttl(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "0h", "-5m", "1.5h", "1w", "h", "1e3", "٣m"])
def test_what_is_no_time_to_live_is_refused(text):
    with pytest.raises(ConfigError):
        parse_ttl(text)


@pytest.mark.parametrize("subject", ["", "a b", "a\n", "x" * 101, "é"])
def test_a_subject_is_an_id(subject):
    with pytest.raises(ConfigError, match="subject"):
        issue_token(SECRET, subject, ["predict"], 60, NOW)


def test_the_secret_is_made_once_and_for_its_owner_only(tmp_path):
    settings = load_settings(state_dir=tmp_path)

    secret = signing_secret(settings)

    assert len(secret) >= 32
    assert signing_secret(settings) == secret
    assert stat.S_IMODE((tmp_path / "jwt.secret").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["jwt.secret"]


def test_a_secret_that_others_can_read_or_that_is_short_is_refused(tmp_path):
    settings = load_settings(state_dir=tmp_path)
    path = tmp_path / "jwt.secret"
    path.write_text("s" * 40)
    path.chmod(0o640)

    with pytest.raises(ConfigError, match="read by others"):
        signing_secret(settings)
    path.chmod(0o600)
    assert signing_secret(settings) == "s" * 40
    path.write_text("short")
    with pytest.raises(ConfigError, match="32 bytes"):
        signing_secret(settings)
