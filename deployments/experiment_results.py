"""What an experiment's running sums say: per variant, against the control, and whether to decide.

The intervals here are plain ones, valid for a single look at a time fixed beforehand, and labelled so. They never
decide: the verdict is `wait` until statistics that stay valid under repeated looks are there.

References: B. L. Welch, "The generalization of 'Student's' problem when several different population variances are
involved", Biometrika 34 (1947). K. Pearson, "On the criterion that a given system of deviations ...", Phil. Mag. 50
(1900). Threshold of the sample-ratio check: A. Fabijan et al., "Diagnosing sample ratio mismatch in online
controlled experiments", KDD 2019.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from scipy.special import chdtrc, ndtr, ndtri

from deployments.experiments import Experiment, Metric, StoredExperiment

LEVEL = 0.95
SRM_THRESHOLD = 0.001
METHOD = "difference of means, Welch standard error, normal quantiles; valid for one look planned beforehand"
NO_VERDICT = "the interval is valid for one planned look only; no statistics that allow deciding at any time yet"


class Moments(NamedTuple):
    """Users, mean and variance (n - 1 in the denominator) of one figure per user."""

    users: int
    mean: float
    variance: float


@dataclass(frozen=True)
class ArmSums:
    """Sums over the users of one variant; all that is kept of them. Money in cents."""

    users: int = 0
    conversions: int = 0
    orders: int = 0
    cents: int = 0
    cents_squared: float = 0.0
    probability: float = 0.0
    probability_squared: float = 0.0

    @classmethod
    def of(cls, figures: Mapping[str, float]) -> "ArmSums":
        """The sums from figures by their names; those that are missing are 0."""
        return cls(
            users=int(figures.get("users", 0)),
            conversions=int(figures.get("conversions", 0)),
            orders=int(figures.get("orders", 0)),
            cents=int(figures.get("cents", 0)),
            cents_squared=figures.get("cents_squared", 0.0),
            probability=figures.get("probability", 0.0),
            probability_squared=figures.get("probability_squared", 0.0),
        )

    def moments(self, metric: Metric) -> Moments:
        """Mean and variance of a metric over users; NaN where there are too few of them."""
        total, squared = {
            "conversion": (float(self.conversions), float(self.conversions)),
            "revenue_per_user": (self.cents / 100.0, self.cents_squared / 1e4),
            "purchase_probability": (self.probability, self.probability_squared),
        }[metric]
        if not self.users:
            return Moments(0, math.nan, math.nan)
        mean = total / self.users
        if self.users < 2:
            return Moments(self.users, mean, math.nan)
        return Moments(self.users, mean, max(0.0, squared - total * mean) / (self.users - 1))

    def as_json(self) -> dict[str, Any]:
        """The variant's entry in the results."""
        return {
            "users": self.users,
            "conversions": self.conversions,
            "orders": self.orders,
            "rate": self.conversions / self.users if self.users else None,
            "revenue": self.cents / 100.0,
            "mean_probability": self.probability / self.users if self.users else None,
        }


def results(stored: StoredExperiment, sums: Mapping[str, ArmSums]) -> dict[str, Any]:
    """The analysis of the present phase, ready for JSON."""
    experiment = stored.experiment
    arms = {variant: sums.get(variant, ArmSums()) for variant in experiment.variants}
    srm = sample_ratio(experiment, arms)
    comparisons = {
        variant: compare(experiment, arms[experiment.control], arms[variant])
        for variant in experiment.variants
        if variant != experiment.control
    }
    return {
        "experiment_id": experiment.experiment_id,
        "status": stored.status,
        "phase": stored.phase,
        "variants": {variant: arm.as_json() for variant, arm in arms.items()},
        "comparisons": comparisons,
        "srm": srm,
        "guardrails": {},
        "verdict": {"decision": "wait", "variant": None, "reasons": _reasons(arms, comparisons, srm)},
    }


def compare(experiment: Experiment, control: ArmSums, treatment: ArmSums) -> dict[str, Any]:
    """One variant against the control in the primary metric: the lift with a plain interval."""
    metric = experiment.primary_metric
    before, after = control.moments(metric), treatment.moments(metric)
    comparison: dict[str, Any] = {
        "metric": metric,
        "control": experiment.control,
        "lift": _number(after.mean - before.mean),
        "relative_lift": _number((after.mean - before.mean) / before.mean) if before.mean > 0.0 else None,
        "interval": None,
        "level": LEVEL,
        "p_value": None,
        "method": METHOD,
    }
    if min(before.users, after.users) >= 2:
        lift = after.mean - before.mean
        error = math.sqrt(before.variance / before.users + after.variance / after.users)
        margin = float(ndtri(0.5 + LEVEL / 2.0)) * error
        comparison["interval"] = [lift - margin, lift + margin]
        comparison["p_value"] = 2.0 * float(ndtr(-abs(lift) / error)) if error > 0.0 else None
    return comparison


def sample_ratio(experiment: Experiment, arms: Mapping[str, ArmSums]) -> dict[str, Any]:
    """Whether users arrived in the shares that were asked for (Pearson's chi-squared test)."""
    total = sum(arm.users for arm in arms.values())
    shares = experiment.traffic_split
    if any(arms[variant].users and shares[variant] == 0.0 for variant in arms):
        return {"p_value": 0.0, "ok": False}
    expected = {variant: share * total for variant, share in shares.items() if share > 0.0}
    if not total or len(expected) < 2:
        return {"p_value": None, "ok": True}
    chi_squared = sum((arms[variant].users - users) ** 2 / users for variant, users in expected.items())
    p_value = float(chdtrc(len(expected) - 1, chi_squared))
    return {"p_value": p_value, "ok": p_value >= SRM_THRESHOLD}


def _reasons(
    arms: Mapping[str, ArmSums], comparisons: Mapping[str, Mapping[str, Any]], srm: Mapping[str, Any]
) -> list[str]:
    reasons = [f"{variant} has been shown to {arm.users} users" for variant, arm in arms.items() if arm.users < 2]
    if not srm["ok"]:
        reasons.append("users did not arrive in the shares that were asked for: find out why before anything else")
    for variant, comparison in comparisons.items():
        interval = comparison["interval"]
        if interval and interval[0] <= 0.0 <= interval[1]:
            reasons.append(f"{variant}: the interval of the lift contains 0")
    return [*reasons, NO_VERDICT]


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
