"""Every error that Cartcast raises on purpose, as one tree with stable codes.

    CartcastError
    ├── InputError            what was given cannot be used
    │   ├── EventLogError     a log that is missing, unreadable, empty, or too dirty
    │   ├── RequestError      a field of a request
    │   └── ConfigError       a setting or a file of settings
    ├── AuthError             who asks is not known, or may not
    │   ├── TokenError        no token, or one that is altered, expired or not ours
    │   └── ScopeError        a token without the scope that is needed
    ├── BundleError           a bundle that cannot be trusted or does not fit
    ├── RegistryError         a version or alias that is not there
    ├── StartError            the service could not be brought up
    └── UnavailableError      a dependency that does not answer now
        ├── StateUnavailable  Redis
        ├── MembersUnavailable  all members lost
        └── PortTaken         an address in use

The command line prints `message` and `remedy` on one line and exits with 2; HTTP statuses are
given in `deployments/http/errors.py` alone.
"""

from typing import Any, ClassVar


class CartcastError(Exception):
    """An error with a stable code, a sentence for people, and what to do about it."""

    code: ClassVar[str] = "error"

    def __init__(self, message: str, *, remedy: str = "", **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.details = details

    def __str__(self) -> str:
        return f"{self.message}. {self.remedy}" if self.remedy else self.message

    def __reduce__(self) -> tuple[Any, ...]:
        """Survive the trip between Ray processes with code, remedy and details."""
        return _rebuild, (type(self), self.message, self.remedy, self.details)


def _rebuild(kind: type[CartcastError], message: str, remedy: str, details: dict[str, Any]) -> CartcastError:
    return kind(message, remedy=remedy, **details)


class InputError(CartcastError):
    """What was given cannot be used."""

    code = "invalid_input"


class EventLogError(InputError):
    """An event log is missing, unreadable, empty, or breaks the schema too often."""

    code = "invalid_event_log"


class RequestError(InputError):
    """A field of a request is wrong; `details` names it."""

    code = "invalid_request"


class ConfigError(InputError):
    """A setting, or a file of settings, is wrong."""

    code = "invalid_config"


class AuthError(CartcastError):
    """Who asks is not known, or may not do this."""

    code = "not_authorized"


class TokenError(AuthError):
    """There is no token, or it is altered, expired or not ours."""

    code = "invalid_token"


class ScopeError(AuthError):
    """The token is good but lacks a scope; `details` names it."""

    code = "insufficient_scope"


class BundleError(CartcastError):
    """A bundle cannot be trusted (hash, missing file) or does not fit (another feature schema)."""

    code = "invalid_bundle"


class RegistryError(CartcastError):
    """A version or an alias is not in the registry."""

    code = "not_in_registry"


class StartError(CartcastError):
    """The service could not be brought up."""

    code = "start_failed"


class UnavailableError(CartcastError):
    """Something that is needed does not answer now; trying again later can help."""

    code = "unavailable"


class StateUnavailable(UnavailableError):
    """Redis does not answer."""

    code = "state_unavailable"


class MembersUnavailable(UnavailableError):
    """No member of the ensemble answered."""

    code = "members_unavailable"


class PortTaken(UnavailableError):
    """Another process listens where this one should."""

    code = "port_taken"
