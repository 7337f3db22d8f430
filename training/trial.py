"""One fit as Ray Tune runs it: a worker process takes trial after trial, and says how each is coming on."""

import math
from collections.abc import Mapping
from contextlib import suppress
from queue import Full, Queue
from threading import Event, Thread
from typing import Any

from ray.tune import Trainable

from common.members import Fold, adapter
from training.searcher import OBJECTIVE, PACE

REPORT_ROUNDS = 10
"""Rounds between two reports: each is a round trip to the driver."""

_POLL_S = 0.1


class MemberTrial(Trainable):  # type: ignore[misc]  # Ray is untyped
    """Fits in a thread of its own, at most one report ahead of the driver, until it is done or halted.

    A class and not a function: Ray Tune gives a function two seconds to end when it reuses a worker, loses the
    trial where that is too short, and reuse saves seconds of imports for each trial.
    """

    def setup(self, config: dict[str, Any], fold: Fold, seed: int) -> None:
        """Begin the first trial of this process."""
        self._fold, self._seed = fold, seed
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
        step = config["params"].get("learning_rate", 0.1)
        so_far = {OBJECTIVE: math.inf, PACE: 0.0, "rounds": 0}

        def on_round(rounds: int, loss: float) -> bool:
            so_far.update({OBJECTIVE: min(so_far[OBJECTIVE], float(loss)), PACE: rounds * step, "rounds": rounds})
            if rounds % REPORT_ROUNDS == 0:
                _put(reports, {**so_far}, stop)
            return stop.is_set()

        try:
            adapter(config["kind"]).fit(self._fold, config["params"], seed=self._seed, threads=1, on_round=on_round)
        except Exception as error:  # noqa: BLE001  # whatever a library raises belongs to the trial, not to this thread
            _put(reports, error, stop)
        else:
            _put(reports, {**so_far, "done": True}, stop)


def _put(reports: "Queue[dict[str, Any] | Exception]", report: dict[str, Any] | Exception, stop: Event) -> None:
    """Hand over a report once the one before it was taken, or drop it when nobody wants it any more."""
    while not stop.is_set():
        with suppress(Full):
            reports.put(report, timeout=_POLL_S)
            return
