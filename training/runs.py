"""The runs of MLflow that a training leaves: one for it, in that one for each kind, in that one for each trial."""

import json
import math
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from training.found import DONE, FAILED, OVER_BUDGET, TrialRecord

LOGGED_TRIALS = 50
"""Trials of a kind that get a run of their own, the best ones; the artifact search/trials.json has all of them.

A run costs 20 to 30 ms in a local store, so that thousands of trials would take longer to log than to fit.
"""

_ENDED = {DONE: "FINISHED", OVER_BUDGET: "FINISHED", FAILED: "FAILED"}


class Runs:
    """Writes runs of one experiment."""

    def __init__(self, client: Any, experiment: str) -> None:
        self._client, self._experiment = client, experiment

    def add(
        self,
        name: str,
        params: Mapping[str, Any],
        metrics: Mapping[str, float],
        *,
        parent: str | None = None,
        curves: Mapping[str, Iterable[tuple[int, float]]] | None = None,
        status: str = "FINISHED",
        seconds: float = 0.0,
    ) -> str:
        """A finished run and its id; `curves` hold (step, value) of metrics that are more than one number."""
        from mlflow.entities import Metric, Param

        tags = {"mlflow.parentRunId": parent} if parent else {}
        run = self._client.create_run(self._experiment, run_name=name, tags=tags)
        run_id, at_ms = str(run.info.run_id), int(run.info.start_time)
        points = [(key, value, 0) for key, value in metrics.items()]
        points += [(key, value, step) for key, curve in (curves or {}).items() for step, value in curve]
        self._client.log_batch(
            run_id,
            metrics=[Metric(key, value, at_ms, step) for key, value, step in points],
            params=[Param(key, str(value)) for key, value in params.items()],
        )
        self._client.set_terminated(run_id, status=status, end_time=at_ms + round(seconds * 1_000))
        return run_id

    def add_trials(self, trials: Sequence[TrialRecord], *, parent: str) -> None:
        """A run for each of the best `LOGGED_TRIALS` of one kind, with its curve."""
        best = sorted(trials, key=lambda trial: (trial.log_loss, trial.number))[:LOGGED_TRIALS]
        for trial in sorted(best, key=lambda trial: trial.number):
            self.add(
                f"{trial.kind} trial {trial.number}: {trial.status}",
                {**trial.params, "status": trial.status},
                dict(_figures(trial)),
                parent=parent,
                curves={"log_loss": trial.curve},
                status=_ENDED.get(trial.status, "KILLED"),
                seconds=trial.seconds,
            )

    def add_search(self, trials: Sequence[TrialRecord], *, run_id: str) -> None:
        """All trials with their curves, as the artifact search/trials.json of a run."""
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "trials.json"
            path.write_text(json.dumps([asdict(trial) for trial in trials]), encoding="utf-8")
            self._client.log_artifact(run_id, str(path), "search")


def best_so_far(trials: Iterable[TrialRecord]) -> Iterator[tuple[int, float]]:
    """(number of trials of this kind, the best log loss among them) in the order in which they began."""
    best = math.inf
    for count, trial in enumerate(sorted(trials, key=lambda trial: trial.number), start=1):
        if trial.status not in (OVER_BUDGET, FAILED):
            best = min(best, trial.log_loss)
        if math.isfinite(best):
            yield count, best


def _figures(trial: TrialRecord) -> Iterator[tuple[str, float]]:
    yield "best_log_loss", trial.log_loss
    yield "rounds", float(trial.rounds)
    yield "seconds", trial.seconds
    if trial.latency_1_ms is not None and trial.latency_32_ms is not None:
        yield "latency_1_ms", trial.latency_1_ms
        yield "latency_32_ms", trial.latency_32_ms
