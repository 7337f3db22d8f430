"""What a search is asked, and what it finds: records that need no Ray to be read."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from common.bundle import MEMBER_KINDS
from common.errors import InputError
from common.members import adapter

DONE, PRUNED, OVER_BUDGET, UNFINISHED, FAILED = "done", "pruned", "over_budget", "unfinished", "failed"


@dataclass(frozen=True)
class SearchSettings:
    """How long and by what to search; `trials` is for each member kind.

    `latency_budget_ms` bounds what a member may take to predict 32 rows on one thread, and so a single row too.
    """

    trials: int
    time_budget_s: float
    seed: int
    kinds: Sequence[str] = MEMBER_KINDS
    latency_budget_ms: float | None = None


@dataclass(frozen=True)
class TrialRecord:
    """One trial: its parameters, the best log loss it reached on the tune part, and what it took.

    `number` counts the trials of the search from 0 in the order in which they began. `status` is `done`, `pruned`
    (it lost against its peers and was ended), `over_budget` (too slow to be served, so that it cannot win),
    `unfinished` (the search ended meanwhile) or `failed` (its process died three times). `curve` holds (rounds, log
    loss of just these rounds) of its reports. `rounds` are those that the fit kept, or had come to when it was ended.
    The latencies are the medians of a loaded native file on one thread; None where the fit did not come to its end.
    """

    kind: str
    number: int
    params: dict[str, Any]
    log_loss: float
    rounds: int
    seconds: float
    status: str = DONE
    curve: list[tuple[int, float]] = field(default_factory=list)
    latency_1_ms: float | None = None
    latency_32_ms: float | None = None

    @property
    def slowest_ms(self) -> float | None:
        """What a latency budget is held against; None where it was not measured."""
        if self.latency_1_ms is None or self.latency_32_ms is None:
            return None
        return max(self.latency_1_ms, self.latency_32_ms)


@dataclass(frozen=True)
class Found:
    """The best parameters of each kind, and all trials that gave a result, best first within a kind."""

    params: dict[str, dict[str, Any]]
    trials: list[TrialRecord]
    interrupted: bool


def best_params(trials: Iterable[TrialRecord], settings: SearchSettings) -> dict[str, dict[str, Any]]:
    """The parameters of each kind's best trial that may win; a kind that has no trial to go by has its defaults.

    Without a latency budget a pruned or unfinished trial may win: its loss is that of a fit which early stopping
    could have ended there. With one, only trials may win that were measured and are within it.

    Raises:
        InputError: no measured trial of some kind is within the latency budget.
    """
    records = list(trials)
    return {kind: _best_of(kind, [r for r in records if r.kind == kind], settings) for kind in settings.kinds}


def _best_of(kind: str, trials: Sequence[TrialRecord], settings: SearchSettings) -> dict[str, Any]:
    budget_ms = settings.latency_budget_ms
    may_win = [
        trial
        for trial in trials
        if trial.status != FAILED
        and (budget_ms is None or (trial.slowest_ms is not None and trial.slowest_ms <= budget_ms))
    ]
    if may_win:
        return min(may_win, key=lambda trial: (trial.log_loss, trial.number)).params
    if budget_ms is None:
        return dict(adapter(kind).DEFAULTS)
    measured = [trial.slowest_ms for trial in trials if trial.slowest_ms is not None]
    if not measured:
        raise InputError(
            f"no {kind} was fitted and timed before the search ended, so none is known to be within the latency "
            f"budget of {budget_ms:g} ms",
            remedy="Give a larger --time-budget-s",
        )
    raise InputError(
        f"no {kind} is within the latency budget of {budget_ms:g} ms: the fastest of {len(measured)} takes "
        f"{min(measured):.3g} ms",
        remedy="Give a larger --latency-budget-ms with --resume, which costs no trial again, or more --trials",
    )
