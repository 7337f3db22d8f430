"""One fit as Ray Tune runs it: a worker process takes trial after trial, and says how each is coming on."""

import math
from collections.abc import Mapping
from contextlib import suppress
from queue import Full, Queue
from threading import Event, Thread
from typing import Any

from ray.tune import Trainable

from common.members import Fitted, adapter
from training.folds import FoldSource
from training.latency import latencies_ms
from training.searcher import OBJECTIVE, OVERRUN, PACE

REPORT_ROUNDS = 10
"""Rounds between two reports: each is a round trip to the driver."""

_FOREST_STEP = 0.1
"""A forest has no learning rate; its 100 trees are paced as a booster's rounds at this one."""

_POLL_S = 0.1


class MemberTrial(Trainable):  # type: ignore[misc]  # Ray is untyped
    """Fits in a thread of its own, at most one report ahead of the driver, until it is done or halted.

    A class and not a function: Ray Tune gives a function two seconds to end when it reuses a worker, loses the
    trial where that is too short, and reuse saves seconds of imports for each trial.
    """

    def setup(
        self, config: dict[str, Any], source: FoldSource, seed: int, threads: int, latency_budget_ms: float | None
    ) -> None:
        """Load the rows, once for this process, and begin its first trial."""
        self._fold, self._seed, self._threads, self._budget_ms = source.load(), seed, threads, latency_budget_ms
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Begin the next trial."""
        self._halt()
        self._begin(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Wait for the fit's next report; raises what the fit raised."""
        report = self._reports.get()
        if isinstance(report, Exception):
            raise report
        return report

    def cleanup(self) -> None:
        """End the fit."""
        self._halt()

    def _begin(self, config: Mapping[str, Any]) -> None:
        self._stop = Event()
        self._reports: Queue[dict[str, Any] | Exception] = Queue(maxsize=1)
        self._thread = Thread(target=self._fit, args=(config, self._stop, self._reports), daemon=True)
        self._thread.start()

    def _halt(self) -> None:
        self._stop.set()
        self._thread.join()

    def _fit(self, config: Mapping[str, Any], stop: Event, reports: "Queue[dict[str, Any] | Exception]") -> None:
        kind, params = config["kind"], config["params"]
        so_far = _SoFar(params.get("learning_rate", _FOREST_STEP))

        def on_round(rounds: int, loss: float) -> bool:
            so_far.add(rounds, loss)
            if rounds % REPORT_ROUNDS == 0:
                _put(reports, so_far.report(), stop)
            return stop.is_set()

        try:
            fitted = adapter(kind).fit(self._fold, params, seed=self._seed, threads=self._threads, on_round=on_round)
            last = {} if stop.is_set() else self._measured(kind, fitted)
        except Exception as error:  # noqa: BLE001  # whatever a library raises belongs to the trial, not to this thread
            _put(reports, error, stop)
        else:
            _put(reports, {**so_far.report(), **last, "done": True}, stop)

    def _measured(self, kind: str, fitted: Fitted) -> dict[str, Any]:
        """What only the end of a fit can tell: the rounds it kept, and how fast it answers."""
        taken_ms = latencies_ms(kind, fitted.model, self._fold.X_valid)
        overrun = 0.0 if self._budget_ms is None else max(taken_ms.values()) / self._budget_ms - 1.0
        latencies = {f"latency_{rows}_ms": ms for rows, ms in taken_ms.items()}
        return {"rounds": fitted.rounds, "fitted": True, OVERRUN: max(0.0, overrun), **latencies}


class _SoFar:
    """How a fit is coming on."""

    def __init__(self, step: float) -> None:
        self._step = step
        self._best, self._rounds = math.inf, 0
        self._curve: list[tuple[int, float]] = []

    def add(self, rounds: int, loss: float) -> None:
        """Note one round's loss."""
        self._best, self._rounds = min(self._best, float(loss)), rounds
        if rounds % REPORT_ROUNDS == 0:
            self._curve.append((rounds, round(float(loss), 6)))

    def report(self) -> dict[str, Any]:
        """What is known up to now; the curve is whole in each report, so that the last one is all that is kept."""
        return {
            OBJECTIVE: self._best,
            PACE: self._rounds * self._step,
            "rounds": self._rounds,
            "curve": list(self._curve),
        }


def _put(reports: "Queue[dict[str, Any] | Exception]", report: dict[str, Any] | Exception, stop: Event) -> None:
    """Hand over a report once the one before it was taken, or drop it when nobody wants it any more."""
    while not stop.is_set():
        with suppress(Full):
            reports.put(report, timeout=_POLL_S)
            return
