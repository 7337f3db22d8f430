"""The floor: an endpoint on the same ingress that validates the same body and says something back."""

from typing import Any

from fastapi import FastAPI, Request
from ray import serve
from starlette.responses import Response
from starlette.types import ASGIApp

from deployments.http.models import USER_DATA
from deployments.http.service import json


@serve.ingress()
class Echo:
    """Does nothing but HTTP, JSON and validation."""

    def __serve_build_asgi_app__(self) -> ASGIApp:
        app = FastAPI()

        @app.post("/predict_purchase")
        async def predict_purchase(request: Request) -> Response:
            body = USER_DATA.validate_json(await request.body())
            return json({"user_id": body.user_id, "purchase_probability": 0.5})

        @app.get("/ready")
        async def ready() -> dict[str, bool]:
            return {"ready": True}

        return app


def build(_: dict[str, Any]) -> serve.Application:
    """The application, as `echo_config.yaml` names it."""
    deployment: Any = serve.deployment(Echo)
    return deployment.options(max_ongoing_requests=2000).bind()
