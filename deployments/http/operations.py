"""Routes for operators: health, readiness, metrics, and what was predicted."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import RedirectResponse, Response

from deployments.http.openapi import errors, operation
from deployments.http.service import Service, json


def routes(service: Service) -> APIRouter:
    """The operator's routes of one replica."""
    router = APIRouter(tags=["operations"])

    @router.get("/", include_in_schema=False)
    async def home() -> Response:
        return RedirectResponse("docs")

    @router.get("/health")
    async def health() -> dict[str, str]:
        """Whether this process lives."""
        return {"status": "alive", "bundle_version": service.engine.manifest.version}

    @router.get("/ready", responses={503: {"description": "a part does not answer; `parts` says which"}})
    async def ready() -> Response:
        """Whether everything that an answer needs is there, part by part."""
        report = await service.readiness.check()
        body = {"ready": report.ready, "bundle_version": service.engine.manifest.version, "parts": report.parts}
        return json(body, 200 if report.ready else 503)

    @router.get("/metrics", response_class=Response)
    async def metrics() -> Response:
        """The whole cluster's figures in Prometheus text, the same from any replica."""
        text, content_type = await service.state.rendered_metrics()
        return Response(text, media_type=content_type)

    @router.get("/predictions", responses=errors(401, 403, 422, 503), openapi_extra=operation("read"))
    async def predictions(request: Request, limit: Annotated[int, Query(ge=1, le=10_000)] = 100) -> Response:
        """The newest predictions, newest first."""
        service.principal(request, "read")
        return json(await service.state.newest_predictions(limit))

    @router.get("/model_performance", responses=errors(401, 403, 503), openapi_extra=operation("read"))
    async def model_performance(request: Request) -> Response:
        """How the served bundle did on its held-out part, and how it does on labels that have matured since."""
        service.principal(request, "read")
        return json(await _performance(service))

    return router


async def _performance(service: Service) -> dict[str, Any]:
    manifest = service.engine.manifest
    live = await service.state.live_figures(manifest.version)
    return {
        "bundle_version": manifest.version,
        "prediction_count": live.predictions,
        "average_latency": live.mean_latency_s,
        "feature_importance": manifest.importance,
        "offline_metrics": manifest.metrics,
        "live_metrics": {"accuracy": live.accuracy, "matured_labels": live.matured_labels},
    }
