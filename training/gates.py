"""What a bundle must show before it may serve. Each gate says what was found, what is allowed, and what to do.

A gate is missed when the miss is more than chance: limits are held against the end of a 95 % interval, since a figure
from few points is off by more than any sensible limit. How each is defined, and why: docs/promotion.md.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from common.feature_specs import SCHEMA_HASH
from training.comparison import Comparison, Verdict
from training.evaluation import BASE_RATE, ENSEMBLE, SLICES

LOG_LOSS, CALIBRATION, LATENCY, SCHEMA, CHAMPION = (
    "log loss",
    "calibration",
    "latency budget",
    "feature schema",
    "champion",
)

MAX_ECE = {"view": 0.05, "cart": 0.05, "all": 0.02}
"""The largest calibration error at which an answer may still be called a probability, beyond what chance adds.

Over all points the references on a real shop's later month have 0.010 to 0.017, over carts 0.028, drift included.
"""

_MORE_DATA = "Train on a longer log: more users and purchases narrow the interval"


@dataclass(frozen=True)
class Gate:
    """One gate: whether it was passed, and the sentence, figures and remedy that go with it."""

    name: str
    passed: bool
    message: str
    value: float | None = None
    limit: float | None = None
    remedy: str = ""

    def as_dict(self) -> dict[str, Any]:
        """As the manifest keeps it."""
        return asdict(self)


def own(metrics: Mapping[str, Any]) -> list[Gate]:
    """The gates that a bundle passes or misses by itself.

    Args:
        metrics: the manifest's: `slices` as `training.evaluation` gives them; `latency` and `latency_budget_ms` where
            they were measured and asked for.
    """
    slices = metrics["slices"]
    gates = [_beats_base_rate(name, slices[name]) for name in SLICES if slices[name]["positives"]]
    gates += [_calibrated(name, slices[name]) for name in SLICES if slices[name]["positives"]]
    budget_ms = metrics.get("latency_budget_ms")
    if budget_ms is not None and metrics.get("latency"):
        gates.append(_fast(metrics["latency"], budget_ms))
    return gates


def of_schema(found: str) -> Gate:
    """Whether a bundle has the feature schema of this code; without it nothing here could serve it."""
    same = found == SCHEMA_HASH
    return Gate(
        SCHEMA,
        same,
        f"feature schema {found}, this code has {SCHEMA_HASH}",
        remedy="" if same else "Train again with this code, or promote it with the code that made it",
    )


def against_champion(comparison: Comparison) -> Gate:
    """Whether a comparison lets a challenger take the champion's place."""
    return Gate(
        CHAMPION,
        comparison.verdict in (Verdict.BETTER, Verdict.NOT_WORSE),
        comparison.message,
        value=comparison.relative_interval[1] if comparison.relative_interval else None,
        limit=comparison.margin,
        remedy=comparison.remedy,
    )


def missed(gates: Iterable[Gate]) -> list[Gate]:
    """Those that were not passed."""
    return [gate for gate in gates if not gate.passed]


def recorded(gates: Iterable[Gate]) -> dict[str, Any]:
    """Gates as a manifest's metrics keep them: all of them, and the sentences of those that were missed."""
    found = list(gates)
    return {"gates": [gate.as_dict() for gate in found], "missed_gates": [sentence(gate) for gate in missed(found)]}


def stored(metrics: Mapping[str, Any]) -> list[Gate]:
    """The gates that a manifest's metrics keep."""
    return [Gate(**gate) for gate in metrics.get("gates", [])]


def sentence(gate: Gate) -> str:
    """A gate in one line: its name and what was found."""
    return f"{gate.name}: {gate.message}"


def _beats_base_rate(name: str, of_slice: Mapping[str, Any]) -> Gate:
    """Over all points it must be shown to be better than the base rate per kind; in a slice not shown to be worse."""
    ours, theirs = (of_slice["quality"][candidate]["log_loss"] for candidate in (ENSEMBLE, BASE_RATE))
    low, high = of_slice["differences"][BASE_RATE]["log_loss"]
    found = (
        f"{ours:.4f} over {_points(name)}, {abs(ours - theirs):.4f} {'above' if ours > theirs else 'below'} the base "
        f"rate per kind; 95 % interval of the difference {low:+.4f} to {high:+.4f}"
    )
    passed = high < 0.0 if name == "all" else low <= 0.0
    remedy = "Search longer, or look into the report: it knows no more than the base rates" if low > 0.0 else _MORE_DATA
    value = high if name == "all" else low
    return Gate(LOG_LOSS, passed, found, value=value, limit=0.0, remedy="" if passed else remedy)


def _calibrated(name: str, of_slice: Mapping[str, Any]) -> Gate:
    """The calibration error, less what chance alone would hardly exceed, is at most the limit."""
    ece, by_chance = of_slice["quality"][ENSEMBLE]["ece"], of_slice["ece_by_chance"]
    beyond, limit = max(0.0, ece - by_chance[1]), MAX_ECE[name]
    passed = beyond <= limit
    found = (
        f"error {ece:.4f} over {_points(name)}, of which chance explains {by_chance[0]:.4f} and hardly more than "
        f"{by_chance[1]:.4f}; {beyond:.4f} are beyond it, {limit} is allowed"
    )
    over = "" if passed else f", exceeded by {beyond - limit:.4f}"
    remedy = "" if passed else "Train on a log that ends later, so that the calibration is of the present"
    return Gate(CALIBRATION, passed, found + over, value=beyond, limit=limit, remedy=remedy)


def _fast(latency: Mapping[str, Mapping[str, float]], budget_ms: float) -> Gate:
    """Every member answers one row and 32 rows within the budget, on one thread."""
    took, member, rows = max(
        (of_member[f"rows_{rows}_ms"], name, rows) for name, of_member in latency.items() for rows in (1, 32)
    )
    passed = took <= budget_ms
    found = f"{member} is the slowest: {rows} rows in {took:.2f} ms, {budget_ms:g} ms are allowed"
    over = "" if passed else f", exceeded by {took - budget_ms:.2f} ms"
    remedy = "" if passed else "Search again with this --latency-budget-ms, or allow more"
    return Gate(LATENCY, passed, found + over, value=took, limit=budget_ms, remedy=remedy)


def _points(name: str) -> str:
    return "all points" if name == "all" else f"{name}s"
