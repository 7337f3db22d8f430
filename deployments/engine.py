"""The data plane: questions in, answers out; knows neither HTTP nor Ray.

ask -> [micro-batch] windows -> vectors -> cache -> members -> probabilities
    -> [micro-batch] explanation (if asked for)
    -> answer; journal, exposure and metrics off the path
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Annotated

import numpy as np
import orjson
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from common.bundle import Manifest
from common.clock import Clock, to_iso
from common.ensemble import agreement, renormalised, vote
from common.errors import ConfigError, MembersUnavailable, StateUnavailable
from common.events import Decision, Event
from common.features import vectors
from deployments.catalog_keeper import CatalogKeeper
from deployments.contributions import Contributions, ExplainerClient
from deployments.insights import Finding, Rules
from deployments.judgement import ENSEMBLE, Ask, Judgement, Method, Scored
from deployments.members import MemberClient, Opinions, ask_members
from deployments.microbatch import MicroBatcher
from deployments.serving_state import Assignment, ServingState
from deployments.state.cache import key_of
from deployments.state.experiment_store import Exposure

log = logging.getLogger(__name__)

EXPLAINED_AT_ONCE = 16


Weight = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]


class EngineOptions(BaseModel):
    """What the operator sets for the router in serve_config.yaml, under `user_config`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    member_deadline_ms: float = Field(250.0, gt=0.0, description="a member that has not answered by then is left out")
    explain_deadline_ms: float = Field(2_000.0, gt=0.0, description="past it the answer comes without an explanation")
    max_batch: int = Field(256, ge=1, description="rows of one fan-out")
    max_waiting: int = Field(4_000, ge=1, description="decisions in the queue; more are refused with 503")
    cache_ttl_s: int = Field(300, ge=1)
    weights: dict[str, Weight] | None = Field(
        None, description="overrides the bundle's learned weights; a member that is not named weighs nothing"
    )


class Engine:
    """Answers questions from one bundle version."""

    def __init__(
        self,
        manifest: Manifest,
        keeper: CatalogKeeper,
        *,
        members: Mapping[str, MemberClient],
        explainer: ExplainerClient,
        state: ServingState,
        rules: Rules,
        options: EngineOptions,
        now_us: Clock,
    ) -> None:
        self.manifest = manifest
        self.state = state
        self._keeper = keeper
        self._members = members
        self._explainer = explainer
        self._rules = rules
        self._now_us = now_us
        self.configure(options)

    def configure(self, options: EngineOptions) -> None:
        """Take new options; questions under way finish under the old ones.

        Raises:
            ConfigError: a weight is given to a member that the bundle does not have; the old options stay.
        """
        self.weights = _weights(options, self.manifest)
        self.options = options
        self._scoring = MicroBatcher(self._score, max_batch=options.max_batch, max_waiting=options.max_waiting)
        # a queue for each method: LIME takes tens of milliseconds a row, and SHAP would stand behind it
        self._explaining: dict[Method, MicroBatcher[Scored, Contributions | None]] = {
            method: MicroBatcher(self._explain, max_batch=EXPLAINED_AT_ONCE, max_waiting=options.max_waiting)
            for method in ("shap", "lime")
        }

    async def judge(self, *asks: Ask) -> list[Judgement]:
        """The answers to some questions of one request, in their order; those to explain name one method.

        Raises:
            MembersUnavailable: no member answered.
            QueueFull: more is waiting than can be answered.
        """
        started_us = self._now_us()
        scored = await self._scoring.ask(*asks)
        wanted = [one for one in scored if one.ask.method != "none"]
        explained = dict(zip(map(id, wanted), await self._explanations(wanted), strict=True))
        judgements = [self._judgement(one, explained.get(id(one))) for one in scored]
        self._record(judgements, (self._now_us() - started_us) / 1e6)
        return judgements

    async def warm_up(self) -> None:
        """Answer a question that nobody asked, explained, and leave no trace of it but in the cache."""
        decision = Decision("warm-up", "warm-up", "warm-up", "", "", 1.0, 0, 0, 0, self._now_us())
        for _ in range(3):
            await self._explanations(await self._scoring.ask(Ask(decision, "warm-up", "shap")))

    def recommendation(self, judgement: Judgement) -> tuple[str, list[str]]:
        """What to do, and what is worth saying, by the operator's rules."""
        finding = Finding(
            judgement.scored.ask.decision,
            judgement.probability,
            judgement.confidence,
            judgement.contributions(),
            bool(judgement.degraded),
        )
        return self._rules.recommendation(finding), self._rules.insights_for(finding)

    async def _score(self, asks: Sequence[Ask]) -> list[Scored]:
        windows, degraded = await self._windows(asks)
        history = self._keeper.history
        decisions = [ask.decision for ask in asks]
        X = vectors(decisions, windows, [history.as_of(decision.as_of_us) for decision in decisions])
        assignments = [self.state.assign(ask.experiment_id, ask.decision.user) for ask in asks]
        keys = [
            key_of(self.manifest.version, assignment.variant or "", b"score", row.tobytes())
            for assignment, row in zip(assignments, X, strict=True)
        ]
        known = await self._cached(keys) if not degraded else [None] * len(asks)
        missed = [i for i, entry in enumerate(known) if entry is None]
        fresh, missing = await self._ask_members(X[missed]) if missed else ([], [])
        if not missing and not degraded:
            self.state.remember(
                [(keys[i], orjson.dumps(entry)) for i, entry in zip(missed, fresh, strict=True)],
                ttl_s=self.options.cache_ttl_s,
            )
        opinions: list[dict[str, float]] = [orjson.loads(entry) if entry else {} for entry in known]
        for i, entry in zip(missed, fresh, strict=True):
            opinions[i] = entry
        late = set(missed)
        return [
            self._scored(ask, X[i], opinions[i], assignments[i], [*degraded, *(missing if i in late else [])])
            for i, ask in enumerate(asks)
        ]

    def _scored(
        self, ask: Ask, x: NDArray[np.float32], opinions: dict[str, float], assignment: Assignment, degraded: list[str]
    ) -> Scored:
        # a variant whose only member is lost is answered by the ensemble, and says so
        model = assignment.variant if assignment.variant in opinions else ENSEMBLE
        return Scored(ask, x, opinions, assignment, model, degraded)

    async def _windows(self, asks: Sequence[Ask]) -> tuple[Sequence[Sequence[Event]], list[str]]:
        try:
            return await self.state.windows([(ask.decision.user, ask.decision.as_of_us) for ask in asks]), []
        except StateUnavailable:
            return [()] * len(asks), ["state"]

    async def _cached(self, keys: Sequence[bytes]) -> Sequence[bytes | None]:
        try:
            return await self.state.recall(keys)
        except StateUnavailable:
            return [None] * len(keys)

    async def _ask_members(self, X: NDArray[np.float32]) -> tuple[list[dict[str, float]], list[str]]:
        opinions = await ask_members(
            self._members, self.manifest.version, X, deadline_s=self.options.member_deadline_ms / 1e3
        )
        self._count_members(opinions, len(X))
        for name, reason in opinions.missing.items():
            log.warning("member %s left out of %d rows: %s", name, len(X), reason)
        if not opinions.probabilities:
            raise MembersUnavailable("no member of the ensemble answered", remedy="Try again shortly")
        columns = {name: values.tolist() for name, values in opinions.probabilities.items()}
        # in the manifest's order, whatever the order of arrival
        names = [name for name in self.manifest.weights if name in columns]
        rows = [{name: columns[name][i] for name in names} for i in range(len(X))]
        return rows, [f"member:{name}" for name in opinions.missing]

    async def _explanations(self, scored: Sequence[Scored]) -> list[Contributions | None]:
        if not scored:
            return []
        try:
            async with asyncio.timeout(self.options.explain_deadline_ms / 1e3):
                return list(await self._explaining[_method_of(scored)].ask(*scored))
        except TimeoutError:
            return [None] * len(scored)

    async def _explain(self, scored: Sequence[Scored]) -> list[Contributions | None]:
        """Explain some rows; those of one vote go to the explainer together."""
        groups: dict[tuple[object, ...], list[int]] = {}
        for i, one in enumerate(scored):
            lime_alone = i if one.ask.method == "lime" else -1
            vote = tuple(one.weights(self.weights).items())
            groups.setdefault((vote, one.ask.per_member, lime_alone), []).append(i)
        results: list[Contributions | None] = [None] * len(scored)
        for rows in groups.values():
            for i, explanation in zip(rows, await self._explain_group([scored[i] for i in rows]), strict=True):
                results[i] = explanation
        return results

    async def _explain_group(self, scored: Sequence[Scored]) -> list[Contributions | None]:
        first = scored[0]
        rows = np.stack([one.x for one in scored]).tobytes()
        weights = first.weights(self.weights)
        try:
            # those who asked have given up by then: an explainer that hangs must not hold those behind them
            async with asyncio.timeout(self.options.explain_deadline_ms / 1e3):
                if first.ask.method == "lime":
                    together = await self._explainer.lime(self.manifest.version, rows, weights)
                else:
                    together = await self._explainer.shap(self.manifest.version, rows, weights, first.ask.per_member)
        except Exception:
            log.warning("no explanation for %d rows", len(scored), exc_info=True)
            return [None] * len(scored)
        return [
            Contributions(
                together.base[i : i + 1],
                together.values[i : i + 1],
                {name: (base, values[i : i + 1]) for name, (base, values) in together.members.items()},
                together.r2,
            )
            for i in range(len(scored))
        ]

    def _judgement(self, scored: Scored, explanation: Contributions | None) -> Judgement:
        opinions = scored.probabilities
        shares = scored.weights(self.weights)
        degraded = list(scored.degraded)
        if scored.ask.method != "none" and explanation is None:
            degraded.append("explainer")
        return Judgement(
            scored,
            probability=vote(opinions, shares),
            confidence=agreement(opinions, renormalised(self.weights, opinions)),
            explanation=explanation,
            degraded=degraded,
        )

    def _record(self, judgements: Sequence[Judgement], latency_s: float) -> None:
        """Journal, exposures and metrics: queued here, written off the request path."""
        now_us = self._now_us()
        metrics = self.state.metrics
        for judgement in judgements:
            ask = judgement.scored.ask
            variant, is_running = judgement.scored.assignment
            metrics.inc("predictions_total", variant or judgement.scored.model)
            metrics.observe("prediction_latency_seconds", latency_s)
            for part in judgement.degraded:
                metrics.inc("degraded_total", part)
            if ask.method != "none":
                metrics.inc("explanations_total", ask.method, "missing" if judgement.explanation is None else "given")
            if ask.experiment_id is not None and variant is not None:
                # unknown experiments are counted too, but under one name: clients choose the ids
                metrics.inc("ab_test_predictions_total", ask.experiment_id if is_running else "unknown", variant)
                if is_running:
                    self.state.expose(
                        Exposure(ask.experiment_id, ask.decision.user, variant, judgement.probability, now_us)
                    )
            self.state.journal(self._journal_record(judgement, now_us, latency_s))

    def _journal_record(self, judgement: Judgement, now_us: int, latency_s: float) -> dict[str, object]:
        scored, decision = judgement.scored, judgement.scored.ask.decision
        return {
            "request_id": scored.ask.request_id,
            "time": to_iso(now_us),
            "user_id": decision.user,
            "session_id": decision.session,
            "product_id": decision.product,
            "as_of_us": decision.as_of_us,
            "price": decision.price,
            "purchase_probability": judgement.probability,
            "threshold": self.manifest.threshold,
            "members": scored.probabilities,
            "model_used": scored.model,
            "bundle_version": self.manifest.version,
            "experiment_id": scored.ask.experiment_id,
            "variant": scored.assignment.variant,
            "degraded": judgement.degraded,
            "latency_ms": round(latency_s * 1e3, 3),
        }

    def _count_members(self, opinions: Opinions, rows: int) -> None:
        metrics = self.state.metrics
        for name in opinions.probabilities:
            metrics.inc("member_predictions_total", name, "answered", by=rows)
        for name, reason in opinions.missing.items():
            metrics.inc("member_predictions_total", name, reason, by=rows)
        for name, latency_s in opinions.latency_s.items():
            metrics.observe("member_latency_seconds", latency_s, name)


def _weights(options: EngineOptions, manifest: Manifest) -> dict[str, float]:
    """The weights to vote with, of every member: one that weighs nothing still answers where no other does."""
    learned = manifest.weights
    given = learned if options.weights is None else options.weights
    unknown = sorted(set(given) - set(learned))
    if unknown:
        raise ConfigError(
            f"weights in serve_config.yaml name {', '.join(unknown)}, and bundle {manifest.version} has no such member",
            remedy=f"It has {', '.join(learned)}",
        )
    return {name: given.get(name, 0.0) for name in learned}


def _method_of(scored: Sequence[Scored]) -> Method:
    return scored[0].ask.method
