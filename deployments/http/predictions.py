"""Routes that answer questions: one, many, and why."""

from typing import Literal

from fastapi import APIRouter, Request
from starlette.responses import Response

from deployments.http.models import (
    USER_DATA,
    USER_DATA_LIST,
    Answer,
    ExplainMethod,
    ExplanationAnswer,
    UserData,
)
from deployments.http.openapi import errors, example_of, many, one, operation
from deployments.http.service import BATCH_LIMIT_BYTES, Service, json, request_id_of

_EXAMPLE = example_of(UserData)
_ERRORS = errors(400, 401, 403, 413, 422, 503)


def routes(service: Service) -> APIRouter:
    """The prediction routes of one replica."""
    router = APIRouter(tags=["predictions"])

    @router.post(
        "/predict_purchase",
        response_model=Answer,
        responses=_ERRORS,
        openapi_extra=operation("predict", one(UserData), _EXAMPLE),
    )
    async def predict_purchase(request: Request, explain: ExplainMethod = "shap") -> Response:
        """The probability that this shopper buys this product within the label horizon, explained."""
        service.principal(request, "predict")
        body = await service.read(request, USER_DATA)
        (judgement,) = await service.engine.judge(service.ask(body, explain, request_id_of(request)))
        return json(service.answer(judgement))

    @router.post(
        "/batch_predict",
        response_model=list[Answer],
        responses=_ERRORS,
        openapi_extra=operation("predict", many(UserData), [_EXAMPLE]),
    )
    async def batch_predict(request: Request, explain: ExplainMethod = "none") -> Response:
        """Up to 1,000 decisions in one request, answered in their order; not explained unless asked for."""
        service.principal(request, "predict")
        bodies = await service.read(request, USER_DATA_LIST, limit=BATCH_LIMIT_BYTES)
        base = request_id_of(request)[:90]
        asks = [service.ask(body, explain, f"{base}.{i}") for i, body in enumerate(bodies)]
        judgements = await service.engine.judge(*asks) if asks else []
        return json([service.answer(judgement) for judgement in judgements])

    @router.post(
        "/explain",
        response_model=ExplanationAnswer,
        responses=_ERRORS,
        openapi_extra=operation("predict", one(UserData), _EXAMPLE),
    )
    async def explain_decision(request: Request, method: Literal["shap", "lime"] = "shap") -> Response:
        """Every feature's contribution to one decision, for the ensemble and for each member."""
        service.principal(request, "predict")
        body = await service.read(request, USER_DATA)
        ask = service.ask(body, method, request_id_of(request), per_member=method == "shap")
        (judgement,) = await service.engine.judge(ask)
        return json(service.explanation(judgement))

    return router
