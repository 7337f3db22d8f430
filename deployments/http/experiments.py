"""Routes that define, list, analyse and end experiments."""

from fastapi import APIRouter, Request
from pydantic import TypeAdapter
from starlette.responses import Response

from deployments.experiments import Experiment, StoredExperiment, check_variants
from deployments.http.openapi import errors, example_of, one, operation
from deployments.http.service import Service, json
from deployments.judgement import ENSEMBLE
from deployments.serving_state import CONTROL

_EXPERIMENT = TypeAdapter(Experiment)
_READ_ERRORS = errors(401, 403, 404, 503)


def routes(service: Service) -> APIRouter:
    """The experiment routes of one replica."""
    router = APIRouter(tags=["experiments"])

    @router.post(
        "/ab_test_config",
        responses=errors(400, 401, 403, 409, 413, 422, 503),
        openapi_extra=operation("experiments", one(Experiment), example_of(Experiment)),
    )
    async def define(request: Request) -> Response:
        """Define an experiment. The same body again changes nothing; the same id with another body is a conflict."""
        service.principal(request, "experiments")
        experiment = await service.read(request, _EXPERIMENT)
        check_variants(experiment, {ENSEMBLE, CONTROL, *service.engine.manifest.weights})
        return json(_shown(await service.state.experiments.define(experiment, service.now_us())))

    @router.get("/ab_tests", responses=errors(401, 403, 503), openapi_extra=operation("experiments"))
    async def list_all(request: Request) -> Response:
        """Every experiment, newest first."""
        service.principal(request, "experiments")
        return json([_shown(stored) for stored in await service.state.experiments.all()])

    @router.get("/ab_tests/{experiment_id}", responses=_READ_ERRORS, openapi_extra=operation("experiments"))
    async def show(request: Request, experiment_id: str) -> Response:
        """One experiment and where it stands."""
        service.principal(request, "experiments")
        return json(_shown(await service.state.experiments.get(experiment_id)))

    @router.get("/ab_tests/{experiment_id}/results", responses=_READ_ERRORS, openapi_extra=operation("experiments"))
    async def results(request: Request, experiment_id: str) -> Response:
        """What the experiment's sums say so far."""
        service.principal(request, "experiments")
        return json(await service.state.experiments.results(experiment_id))

    @router.post("/ab_tests/{experiment_id}/stop", responses=_READ_ERRORS, openapi_extra=operation("experiments"))
    async def stop(request: Request, experiment_id: str) -> Response:
        """Stop assigning users; outcomes of those who were assigned join on. Stopping again changes nothing."""
        service.principal(request, "experiments")
        return json(_shown(await service.state.experiments.stop(experiment_id, service.now_us())))

    return router


def _shown(stored: StoredExperiment) -> dict[str, object]:
    return {
        **stored.experiment.model_dump(mode="json"),
        "status": stored.status,
        "phase": stored.phase,
        "created_us": stored.created_us,
        "stopped_us": stored.stopped_us,
    }
