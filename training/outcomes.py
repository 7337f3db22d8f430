"""What Ray Tune knows of its trials, in our words: told to the display while they run, and recorded in the end."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from ray.tune.callback import Callback

from training.found import DONE, FAILED, OVER_BUDGET, PRUNED, UNFINISHED, SearchSettings, TrialRecord
from training.progress import Standing, shown_progress
from training.searcher import OBJECTIVE, OVERRUN


class Announcer(Callback):  # type: ignore[misc]  # Ray is untyped
    """Passes what happens to the display of this process; it holds nothing, since Ray Tune pickles it."""

    def on_trial_start(self, *, trials: list[Any], trial: Any, **_: Any) -> None:
        shown_progress().trial_started(trial.config["kind"], _standings(trials))

    def on_trial_result(self, *, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any) -> None:
        shown_progress().trial_reported(trial.config["kind"], _standings(trials), rounds=result["rounds"])

    def on_trial_complete(self, *, trials: list[Any], trial: Any, **_: Any) -> None:
        shown_progress().trial_ended(trial.config["kind"], _standings(trials, over=trial))

    def on_trial_error(self, *, trials: list[Any], trial: Any, **_: Any) -> None:
        shown_progress().trial_ended(trial.config["kind"], _standings(trials, over=trial))


def _standings(trials: list[Any], *, over: Any = None) -> list[Standing]:
    """How each kind stands; Ray Tune calls a trial finished a little after it told us that it is `over`."""
    of_kind: dict[str, list[Any]] = {}
    for trial in trials:
        of_kind.setdefault(trial.config["kind"], []).append(trial)
    return [
        Standing(
            kind,
            ended=sum(trial.is_finished() or trial is over for trial in peers),
            best=min(_loss_that_may_win(trial.last_result or {}) for trial in peers),
        )
        for kind, peers in of_kind.items()
    ]


def _loss_that_may_win(result: Mapping[str, Any]) -> float:
    return math.inf if result.get(OVERRUN, 0.0) > 0.0 else float(result.get(OBJECTIVE, math.inf))


def trial_records(results: Any, settings: SearchSettings) -> Iterator[TrialRecord]:
    """A record of every trial that reported a loss."""
    for result in results:
        metrics = result.metrics or {}
        if not math.isfinite(metrics.get(OBJECTIVE, math.inf)):
            continue
        record = TrialRecord(
            kind=result.config["kind"],
            number=result.config["number"],
            params=result.config["params"],
            log_loss=metrics[OBJECTIVE],
            rounds=metrics["rounds"],
            seconds=float(metrics.get("time_total_s", 0.0)),
            curve=[(rounds, loss) for rounds, loss in metrics["curve"]],
            latency_1_ms=metrics.get("latency_1_ms"),
            latency_32_ms=metrics.get("latency_32_ms"),
        )
        yield replace(record, status=_status(record, result, settings.latency_budget_ms))


def _status(record: TrialRecord, result: Any, budget_ms: float | None) -> str:
    if result.error is not None:
        return FAILED
    if result.metrics.get("fitted"):
        return OVER_BUDGET if budget_ms is not None and (record.slowest_ms or 0.0) > budget_ms else DONE
    return PRUNED if result.metrics.get("done") else UNFINISHED
