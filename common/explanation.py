"""Shapley values of the ensemble's own probability.

The ensemble is p(x) = Σ_k share_k · sigmoid(slope_k · margin_k(x) + intercept_k), and every margin is a sum of
trees. Between a row and one background row the margin's Shapley values are exact (`common.shapley`). The logistic
link scales them by (p_k(x) - p_k(b)) / (margin_k(x) - margin_k(b)), so that they add up to the difference of
probabilities, and the vote adds them up by share. The mean over the background gives the contributions; what
remains is the mean probability of the background, the base value.

So base_value + contributions = probability is an identity for any shares, not a fit.

References: Chen, Lundberg & Lee (2022), Explaining a series of models by propagating Shapley values, Nature
Communications 13, 4512: the rescale rule through the link, per background row; shap's TreeExplainer does the
same for model_output="probability".
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Self

import numpy as np

from common import trees, vectors
from common.bundle import Bundle
from common.ensemble import Calibration, combine, renormalised, sigmoid
from common.errors import BundleError
from common.shapley import TreeShapley
from common.trees import Matrix, TreeTable, Vector

_SAME_MARGIN = 1e-7  # closer than this the link's slope is its derivative: the quotient would be rounding noise


class MemberExplanation(NamedTuple):
    """One member's own calibrated probability, split: base_value + contributions (n, f) along each row."""

    base_value: float
    contributions: Vector


@dataclass(frozen=True)
class Explanation:
    """The ensemble's probability of n rows, split over f features.

    `base_value` is the background's mean probability; `contributions` are float64 (n, f), in probability. `members`
    holds each member's own split, unweighted, where it was asked for.
    """

    base_value: float
    contributions: Vector
    members: dict[str, MemberExplanation] = field(default_factory=dict)

    @property
    def probability(self) -> Vector:
        """What the trees give for each row, (n,): the native members' vote but for their float32 rounding."""
        total: Vector = self.base_value + self.contributions.sum(axis=1)
        return total


class _Member:
    """One member's trees, base margin and calibration, against the background."""

    def __init__(self, table: TreeTable, base_margin: float, calibration: Calibration, background: Matrix) -> None:
        self._shapley = TreeShapley(table, background)
        self._base_margin = base_margin
        self._calibration = calibration
        self._background_z = self._z(self._shapley.background_margins)
        self._background_p = sigmoid(self._background_z)
        self.base_value = float(self._background_p.mean())

    def probability(self, X: Matrix) -> Vector:
        return sigmoid(self._z(self._shapley.margins(X)))

    def contributions(self, X: Matrix) -> Vector:
        z = self._z(self._shapley.margins(X))[:, np.newaxis]
        p, rise = sigmoid(z), z - self._background_z
        same = np.abs(rise) < _SAME_MARGIN
        slope = np.where(same, p * (1.0 - p), (p - self._background_p) / np.where(same, 1.0, rise))
        return self._shapley.contributions(X, self._calibration.slope * slope / len(self._background_z))

    def _z(self, margins: Vector) -> Vector:
        return self._calibration.slope * (self._base_margin + margins) + self._calibration.intercept


class ShapExplainer:
    """Splits the ensemble's probability against a fixed background; safe to call from several threads."""

    def __init__(
        self,
        tables: Mapping[str, TreeTable],
        base_margins: Mapping[str, float],
        calibrations: Mapping[str, Calibration],
        background: Matrix,
    ) -> None:
        """Lay out every member's trees; the first one in a process compiles or loads the kernels, 0.3 to 3 s.

        Args:
            tables: the trees of each member.
            base_margins: what each member's trees start from, in log-odds.
            calibrations: each member's map from margin to probability.
            background: float32 (b, f), the rows that base_value is the mean of; cost grows with b.
        """
        self._members = {
            name: _Member(table, base_margins[name], calibrations[name], background) for name, table in tables.items()
        }

    @classmethod
    def from_bundle(cls, bundle: Bundle) -> Self:
        """The explainer of a bundle's members.

        Raises:
            BundleError: its trees or its background do not fit its manifest.
        """
        manifest = bundle.manifest
        tables = trees.read(bundle.file(trees.FILE))
        if set(tables) != set(manifest.weights):
            raise BundleError(f"bundle {bundle.version} has trees of {sorted(tables)}, not of its members")
        base_margins = {member.name: member.base_margin for member in manifest.members}
        background = vectors.read(bundle.file(vectors.BACKGROUND_FILE), manifest.features)
        try:
            return cls(tables, base_margins, manifest.calibrations, background)
        except ValueError as error:
            raise BundleError(f"the trees of bundle {bundle.version} do not fit its background: {error}") from error

    def probability(self, X: Matrix, weights: Mapping[str, float]) -> Vector:
        """The vote of the members in `weights`, float64 (n,), of vectors float32 (n, f)."""
        shares = self._shares(weights)
        return combine({name: self._members[name].probability(X) for name in shares}, shares)

    def explain(self, X: Matrix, weights: Mapping[str, float], *, per_member: bool = False) -> Explanation:
        """Split the vote of the members in `weights`, scaled to sum to 1 as `common.ensemble.combine` does.

        Args:
            X: float32 (n, f).
            weights: the members that answered and their weights.
            per_member: also give every one of these members' own split; else those that weigh 0 cost nothing.

        Raises:
            BundleError: there are no trees of a member in `weights`.
        """
        X = np.ascontiguousarray(X, dtype=np.float32)
        base_value, contributions, members = 0.0, np.zeros(X.shape), {}
        for name, share in self._shares(weights).items():
            if share == 0.0 and not per_member:
                continue
            member = self._members[name]
            own = MemberExplanation(member.base_value, member.contributions(X))
            base_value += share * own.base_value
            contributions += share * own.contributions
            if per_member:
                members[name] = own
        return Explanation(base_value, contributions, members)

    def _shares(self, weights: Mapping[str, float]) -> dict[str, float]:
        unknown = set(weights) - set(self._members)
        if unknown or not weights:
            raise BundleError(f"there are trees of {sorted(self._members)}, asked for {sorted(weights)}")
        return renormalised(weights, weights)
