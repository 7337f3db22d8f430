"""What a report is made of: plain data, filled by a training run, read by every section."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.ensemble import Vector
from common.feature_specs import SPECS, Spec
from common.members import Matrix
from training.found import TrialRecord
from training.gates import Gate
from training.leakage import Check
from training.profit import Economics

CHAMPION = "champion"
"""The name under which the served model is judged beside a new one, among the candidates and in the metrics."""


@dataclass(frozen=True)
class HeldOut:
    """Points of one part: outcomes y, kind (0 view, 1 cart) and user (n,), and each candidate's probabilities (n,).

    Candidates bear the names of `training.evaluation`: the ensemble, its members, the default vote, the base rate, and
    where there are such, the truth and `CHAMPION`. Users only group rows for intervals; a report never shows them.
    """

    y: NDArray[np.int8]
    kind: NDArray[np.int8]
    user: NDArray[Any]
    probabilities: Mapping[str, Vector]


@dataclass(frozen=True)
class Explained:
    """Vectors X (m, f), what each feature added to the ensemble's probability (m, f), and from where they start.

    `importance` is the mean |contribution| of each feature to each member's own probability: member -> feature -> it.
    """

    X: Matrix
    contributions: Vector
    base_value: float
    importance: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class ReportData:
    """One training run as its report shows it.

    `metrics` are the manifest's: slices as `training.evaluation.evaluate` gives them. `data` is the manifest's data
    card. `held_out` is the untouched part and `chosen_on` what thresholds were chosen on, with the ensemble among its
    candidates. `threshold` is that of the judged vote; `served_threshold` and `weights` are those of the vote that is
    served, `baseline_weights` what weights are learned from; `params` are those of the served members, with the
    `rounds` that each has. `gates` are all that were asked.
    """

    version: str
    created: str
    label_horizon_s: int
    metrics: Mapping[str, Any]
    held_out: HeldOut
    chosen_on: HeldOut
    threshold: float
    served_threshold: float
    economics: Economics
    weights: Mapping[str, float]
    baseline_weights: Mapping[str, float]
    params: Mapping[str, Mapping[str, Any]]
    trials: Sequence[TrialRecord]
    explained: Explained
    data: Mapping[str, Any]
    checks: Sequence[Check]
    seconds: Mapping[str, float]
    gates: Sequence[Gate]
    champion_version: str | None = None
    specs: Sequence[Spec] = field(default=SPECS)
