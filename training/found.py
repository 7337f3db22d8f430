"""What a search is asked, and what it finds: records that need no Ray to be read."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from common.bundle import MEMBER_KINDS


@dataclass(frozen=True)
class SearchSettings:
    """How long and by what to search; `trials` is for each member kind."""

    trials: int
    time_budget_s: float
    seed: int
    kinds: Sequence[str] = MEMBER_KINDS


@dataclass(frozen=True)
class TrialRecord:
    """One trial: its parameters, the best log loss it reached on the tune part, its rounds and seconds."""

    kind: str
    params: dict[str, Any]
    log_loss: float
    rounds: int
    seconds: float


@dataclass(frozen=True)
class Found:
    """The best parameters of each kind, and all trials that gave a result, best first within a kind."""

    params: dict[str, dict[str, Any]]
    trials: list[TrialRecord]
    interrupted: bool
