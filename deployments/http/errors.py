"""The error boundary: which error becomes which status, and the one shape that all of them have."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from common.errors import CartcastError, RequestError, UnavailableError

STATUS_BY_CODE = {
    "invalid_json": 400,
    "invalid_token": 401,
    "insufficient_scope": 403,
    "not_found": 404,
    "conflict": 409,
    "body_too_large": 413,
    "invalid_request": 422,
    "overloaded": 503,
    "state_unavailable": 503,
    "members_unavailable": 503,
    "unavailable": 503,
}
"""Codes that clients see; every other CartcastError is a 500 with its own code."""

RETRY_AFTER_S = 1
MAX_DETAILS = 100
MAX_PROBLEMS = 10_000
"""From here on a body's problems are not listed at all: 450,000 of them fit into one body and take seconds."""

_CODE_BY_STATUS = {404: "not_found", 405: "method_not_allowed"}


class BodyTooLarge(RequestError):
    """The body is larger than the route takes."""

    code = "body_too_large"


class InvalidJson(RequestError):
    """The body is not JSON at all."""

    code = "invalid_json"


def error_response(
    status: int, code: str, message: str, details: Any = None, headers: Mapping[str, str] | None = None
) -> Response:
    """An error in the one shape that all routes share."""
    body = orjson.dumps({"error": {"code": code, "message": message, "details": details}}, default=str)
    return Response(body, status_code=status, media_type="application/json", headers=dict(headers or {}))


def response_of(error: CartcastError) -> Response:
    """The response to an error that was raised on purpose."""
    status = STATUS_BY_CODE.get(error.code, 500)
    headers: dict[str, str] = {}
    if status == 401:
        # without a token there is nothing to be wrong with it (RFC 6750, section 3.1)
        headers["WWW-Authenticate"] = 'Bearer error="invalid_token"' if error.details.get("given", True) else "Bearer"
    elif status == 403:
        headers["WWW-Authenticate"] = f'Bearer error="insufficient_scope", scope="{error.details.get("scope", "")}"'
    elif isinstance(error, UnavailableError):
        headers["Retry-After"] = str(RETRY_AFTER_S)
    details = error.details.get("fields", error.details) or None
    return error_response(status, error.code, str(error), details, headers)


def invalid_request(error: ValidationError | RequestValidationError) -> CartcastError:
    """The error that names each field of a body or a query that does not fit."""
    if isinstance(error, ValidationError) and error.error_count() > MAX_PROBLEMS:
        return RequestError(f"the body has more than {MAX_PROBLEMS} problems")
    problems = error.errors()
    if problems and problems[0]["type"] == "json_invalid":
        return InvalidJson("the body is not valid JSON: " + str(problems[0]["ctx"]["error"]))
    fields = [{"field": _path(problem["loc"]), "message": problem["msg"]} for problem in problems[:MAX_DETAILS]]
    first = fields[0]
    return RequestError(f"{first['field'] or 'body'}: {first['message']}", fields=fields)


def _path(location: Sequence[int | str]) -> str:
    return ".".join(str(part) for part in location if part not in ("body", "query", "path"))


def install(app: FastAPI) -> None:
    """Answer every error of `app` in the one shape."""
    app.add_exception_handler(CartcastError, _on_cartcast_error)
    app.add_exception_handler(ValidationError, _on_validation_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_exception)


async def _on_cartcast_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, CartcastError)  # noqa: S101 - narrows the type that the registration guarantees
    return response_of(error)


async def _on_validation_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, ValidationError | RequestValidationError)  # noqa: S101
    return response_of(invalid_request(error))


async def _on_http_exception(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    code = _CODE_BY_STATUS.get(error.status_code, "http_error")
    return error_response(error.status_code, code, str(error.detail), headers=error.headers)
