"""The FastAPI application of one replica."""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deployments.http import errors, events, experiments, operations, predictions
from deployments.http.openapi import complete
from deployments.http.service import Service

log = logging.getLogger(__name__)

_ABOUT = """\
Will this shopper buy this product, why, and what should we do?

Sign in with a token from `python -m deployments token --subject NAME --scopes predict,events`. Every error has the
shape `{"error": {"code", "message", "details"}}`. Times are UTC.
"""

Count = Callable[[str, int], None]
"""(route, status): told of every response."""


def build_api(service: Service, running: Callable[[], AbstractAsyncContextManager[None]]) -> ASGIApp:
    """The application: all routes, one shape of errors, and `running` around its life."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with running():
            yield

    app = FastAPI(title="Cartcast", version="1", description=_ABOUT, lifespan=lifespan)
    errors.install(app)
    for module in (predictions, events, experiments, operations):
        app.include_router(module.routes(service))

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(title=app.title, version=app.version, description=_ABOUT, routes=app.routes)
            app.openapi_schema = complete(document)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]

    def count(route: str, status: int) -> None:
        service.state.metrics.inc("http_requests_total", route, str(status))

    app.add_middleware(CountResponses, count=count)
    return app


class CountResponses:
    """Counts responses by route and status, and turns what nobody foresaw into a 500 of the one shape."""

    def __init__(self, app: ASGIApp, *, count: Count) -> None:
        self._app = app
        self._count = count

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the call on; the route is known once the application has matched it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 0

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watch)
        except Exception:
            log.exception("unforeseen error in %s", scope.get("path"))
            if status:
                raise
            response = errors.error_response(
                500, "internal_error", "Something failed that nobody foresaw; it is logged"
            )
            await response(scope, receive, watch)
        finally:
            self._count(_route_of(scope), status)


def _route_of(scope: Scope) -> str:
    """The route's pattern: a bounded set, unlike paths."""
    return getattr(scope.get("route"), "path", "unmatched")
