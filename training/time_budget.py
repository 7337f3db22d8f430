"""The time that a search may take, over all of its sittings: what was spent is on disk, so that a kill keeps it."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from ray.tune.stopper import Stopper

_FILE = "time_spent"
"""Not named as JSON: Ray Tune copies such files away when it resumes, and later back over newer ones."""
_WRITE_S = 1.0


class TimeBudget:
    """How many seconds of `budget_s` are left; a budget that differs from the one before begins anew."""

    def __init__(self, directory: Path, budget_s: float) -> None:
        self.directory = directory
        self._path = directory / _FILE
        self._budget_s = budget_s
        self._spent_before_s = self._read()
        self._began_s: float | None = None
        self._written_s = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Let it run down; meanwhile `OutOfTime` goes by this one."""
        self._began_s = time.monotonic()
        token = _RUNNING.set(self)
        try:
            yield
        finally:
            _RUNNING.reset(token)
            self._write()

    def left_s(self) -> float:
        """What is left, in seconds; negative when it was overdrawn."""
        return self._budget_s - self._spent_s()

    def note(self) -> None:
        """Put what was spent on disk, at most once a second."""
        if time.monotonic() - self._written_s > _WRITE_S:
            self._write()

    def _spent_s(self) -> float:
        return self._spent_before_s + (0.0 if self._began_s is None else time.monotonic() - self._began_s)

    def _read(self) -> float:
        if not self._path.is_file():
            return 0.0
        known = json.loads(self._path.read_text(encoding="utf-8"))
        return float(known["spent_s"]) if known["budget_s"] == self._budget_s else 0.0

    def _write(self) -> None:
        if self._began_s is None:
            return
        self._written_s = time.monotonic()
        beside = self._path.with_name(f"{_FILE}.new")
        beside.write_text(json.dumps({"budget_s": self._budget_s, "spent_s": self._spent_s()}), encoding="utf-8")
        beside.replace(self._path)


_RUNNING: ContextVar[TimeBudget] = ContextVar("running_time_budget")


def running_budget() -> TimeBudget:
    """The budget that is running in this context: what Ray Tune pickles cannot carry one."""
    return _RUNNING.get()


class OutOfTime(Stopper):  # type: ignore[misc]  # Ray is untyped
    """Ends a Ray Tune run when the budget that is running is used up.

    Ray Tune's own time budget would begin anew in every sitting; this holds nothing, since Ray Tune pickles it.
    """

    def __call__(self, trial_id: str, result: dict[str, object]) -> bool:  # noqa: ARG002
        """No trial ends by itself."""
        return False

    def stop_all(self) -> bool:
        """Whether time is up; asked again and again, so that this is where the time spent is noted."""
        budget = running_budget()
        budget.note()
        return budget.left_s() <= 0.0
