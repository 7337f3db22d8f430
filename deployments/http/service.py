"""What the routes share: authentication, bodies, answers, and the engine behind them."""

import uuid
from dataclasses import dataclass
from typing import Any, TypeVar

import orjson
from fastapi import Request
from pydantic import TypeAdapter
from starlette.responses import Response

from common.clock import HOUR_US, SECOND_US, Clock, to_iso
from common.errors import RequestError, UnavailableError
from common.events import ID_REGEX
from common.feature_specs import NAMES
from deployments.auth import Authenticator, Principal
from deployments.engine import Engine
from deployments.http.errors import BodyTooLarge
from deployments.http.models import UserData
from deployments.judgement import Ask, Judgement, Method
from deployments.readiness import Readiness
from deployments.serving_state import ServingState

Body = TypeVar("Body")

TOP_CONTRIBUTIONS = 10
BODY_LIMIT_BYTES = 1 << 20
BATCH_LIMIT_BYTES = 5 << 20
CLOCK_SKEW_US = 5 * 60 * SECOND_US
"""How far ahead of ours a client's clock may be."""

OLDEST_US = 365 * 24 * HOUR_US
"""Times in the first year after 1970 are a unit mistaken for another, not a shop's history."""


class ExplainerUnavailable(UnavailableError):
    """The explainer did not answer, and an explanation is all that was asked for."""


@dataclass(frozen=True)
class Service:
    """One replica's parts, as the routes see them."""

    engine: Engine
    state: ServingState
    authenticator: Authenticator
    readiness: Readiness
    now_us: Clock

    def principal(self, request: Request, scope: str) -> Principal:
        """Who asks, once the token grants `scope`.

        Raises:
            AuthError: no token, a bad one, or one without the scope.
        """
        return self.authenticator.subject_of(request.headers.get("authorization"), scope, self.now_us())

    async def read(self, request: Request, shape: TypeAdapter[Body], *, limit: int = BODY_LIMIT_BYTES) -> Body:
        """The request's body in its declared shape.

        Raises:
            BodyTooLarge: more than `limit` bytes.
            pydantic.ValidationError: another shape; it names the field.
        """
        return shape.validate_json(await self.body(request, limit))

    async def body(self, request: Request, limit: int) -> bytes:
        """The request's body as it came.

        Raises:
            BodyTooLarge: more than `limit` bytes; the rest is not read.
        """
        chunks: list[bytes] = []
        size = 0
        async for chunk in request.stream():
            size += len(chunk)
            if size > limit:
                raise BodyTooLarge(f"the body is larger than {limit} bytes", limit_bytes=limit)
            chunks.append(chunk)
        return b"".join(chunks)

    def ask(self, body: UserData, method: Method, request_id: str, *, per_member: bool = False) -> Ask:
        """The engine's question for one body.

        Raises:
            RequestError: `as_of` lies in the future.
        """
        now_us = self.now_us()
        decision = body.decision(now_us)
        self.check_time(decision.as_of_us, now_us, "as_of")
        return Ask(decision, request_id, method, body.experiment_id, per_member)

    def check_time(self, time_us: int, now_us: int, field: str) -> None:
        """Refuse times that can't be.

        Raises:
            RequestError: in the future, or so long ago that its unit must be wrong.
        """
        if not OLDEST_US <= time_us <= now_us + CLOCK_SKEW_US:
            message = f"must lie between 1971 and now ({to_iso(now_us)})"
            raise RequestError(f"{field}: {message}", fields=[{"field": field, "message": message}])

    def answer(self, judgement: Judgement) -> dict[str, Any]:
        """A judgement in the shape of `models.Answer`."""
        scored = judgement.scored
        recommendation, insights = self.engine.recommendation(judgement)
        explanation = judgement.explanation
        return {
            "user_id": scored.ask.decision.user,
            "purchase_probability": judgement.probability,
            "recommendation": recommendation,
            "model_used": scored.model,
            "confidence_score": judgement.confidence,
            "business_insights": insights,
            "feature_contributions": top(judgement.contributions()),
            "ab_test_variant": scored.assignment.variant,
            "prediction_timestamp": to_iso(scored.ask.decision.as_of_us),
            "request_id": scored.ask.request_id,
            "bundle_version": self.engine.manifest.version,
            "base_value": None if explanation is None else float(explanation.base[0]),
            "members": scored.probabilities,
            "degraded": judgement.degraded,
        }

    def explanation(self, judgement: Judgement) -> dict[str, Any]:
        """A judgement in the shape of `models.ExplanationAnswer`.

        Raises:
            ExplainerUnavailable: there is no explanation to show.
        """
        scored, explanation = judgement.scored, judgement.explanation
        if explanation is None:
            raise ExplainerUnavailable("the explainer did not answer in time", remedy="Try again shortly")
        surrogate = None
        if explanation.r2 is not None:
            local = float(explanation.base[0] + explanation.values[0].sum())
            surrogate = {"r2": explanation.r2, "prediction": local}
        return {
            "user_id": scored.ask.decision.user,
            "method": scored.ask.method,
            "purchase_probability": judgement.probability,
            "base_value": float(explanation.base[0]),
            "contributions": judgement.contributions(),
            "members": {
                name: {"base_value": base, "contributions": dict(zip(NAMES, values[0].tolist(), strict=True))}
                for name, (base, values) in explanation.members.items()
            },
            "surrogate": surrogate,
            "request_id": scored.ask.request_id,
            "bundle_version": self.engine.manifest.version,
            "prediction_timestamp": to_iso(scored.ask.decision.as_of_us),
            "degraded": judgement.degraded,
        }


def top(contributions: dict[str, float]) -> dict[str, float]:
    """The largest contributions by size, largest first."""
    largest = sorted(contributions.items(), key=lambda item: -abs(item[1]))
    return dict(largest[:TOP_CONTRIBUTIONS])


def request_id_of(request: Request) -> str:
    """The client's X-Request-Id where it is a valid id, else a new one."""
    given = request.headers.get("x-request-id", "")
    return given if ID_REGEX.fullmatch(given) else uuid.uuid4().hex


def json(content: Any, status: int = 200) -> Response:
    """A JSON response, written once by orjson."""
    return Response(orjson.dumps(content), status_code=status, media_type="application/json")
