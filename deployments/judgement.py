"""A question on its way to its answer: as it was asked, as the members scored it, and as it is judged."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from common.ensemble import renormalised
from common.events import Decision
from common.feature_specs import NAMES
from deployments.contributions import Contributions
from deployments.serving_state import Assignment

Method = Literal["shap", "lime", "none"]
ENSEMBLE = "ensemble"


@dataclass(frozen=True)
class Ask:
    """One question and what its answer should hold."""

    decision: Decision
    request_id: str
    method: Method = "none"
    experiment_id: str | None = None
    per_member: bool = False


@dataclass(frozen=True)
class Scored:
    """What the members said to one question."""

    ask: Ask
    x: NDArray[np.float32]
    probabilities: dict[str, float]
    assignment: Assignment
    model: str
    degraded: list[str]

    def weights(self, learned: Mapping[str, float]) -> dict[str, float]:
        """The shares of the vote that gave the probability: of the members that answered, renormalised."""
        if self.model != ENSEMBLE:
            return {self.model: 1.0}
        return renormalised(learned, self.probabilities)


@dataclass(frozen=True)
class Judgement:
    """The answer to one question, before it takes the shape of a protocol."""

    scored: Scored
    probability: float
    confidence: float
    explanation: Contributions | None
    degraded: list[str] = field(default_factory=list)

    def contributions(self) -> dict[str, float]:
        """Every feature's contribution; empty without an explanation."""
        if self.explanation is None:
            return {}
        return dict(zip(NAMES, self.explanation.values[0].tolist(), strict=True))
