"""What a search is asked, and what it finds: records that need no Ray to be read."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from common.bundle import MEMBER_KINDS


@dataclass(frozen=True)
class SearchSettings:
    """How long and by what to search; `trials` is for each member kind.

    `latency_budget_ms` bounds what a member may take to predict a single row, and a batch of 32, on one thread.
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
    (it lost against its peers and was ended), `over_budget` (too slow to be served, so that it cannot win) or
    `unfinished` (the search was stopped meanwhile). `curve` holds (rounds, log loss of just these rounds) of its
    reports. The latencies are the medians of a loaded native file on one thread; None where the fit was not ended.
    """

    kind: str
    number: int
    params: dict[str, Any]
    log_loss: float
    rounds: int
    seconds: float
    status: str = "done"
    curve: list[tuple[int, float]] = field(default_factory=list)
    latency_1_ms: float | None = None
    latency_32_ms: float | None = None


@dataclass(frozen=True)
class Found:
    """The best parameters of each kind, and all trials that gave a result, best first within a kind."""

    params: dict[str, dict[str, Any]]
    trials: list[TrialRecord]
    interrupted: bool
