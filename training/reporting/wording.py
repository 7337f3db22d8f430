"""How a report names things and writes numbers."""

import math
from collections.abc import Mapping, Sequence

from training.evaluation import BASE_RATE, DEFAULT_VOTE, ENSEMBLE, TRUTH
from training.reporting.content import CHAMPION

SLICE_TITLES = {"view": "Views", "cart": "Carts", "all": "All points"}
METRIC_TITLES = {"log_loss": "Log loss", "roc_auc": "ROC AUC", "pr_auc": "PR-AUC", "ece": "Calibration error (ECE)"}
DIGITS = {"log_loss": 4, "roc_auc": 3, "pr_auc": 3, "ece": 4}

_CANDIDATES = {
    ENSEMBLE: "Ensemble",
    CHAMPION: "Champion",
    DEFAULT_VOTE: "Default weights",
    BASE_RATE: "Base rate per kind",
    TRUTH: "True probability",
    "catboost": "CatBoost",
    "xgboost": "XGBoost",
    "lightgbm": "LightGBM",
    "random_forest": "Random forest",
}
_ORDER = (ENSEMBLE, CHAMPION, TRUTH, DEFAULT_VOTE, BASE_RATE)


def candidate_title(name: str) -> str:
    """What people call a candidate."""
    return _CANDIDATES.get(name, name)


def in_order(candidates: Sequence[str]) -> list[str]:
    """The ensemble first, then what it is measured against, then its members."""
    return [*(name for name in _ORDER if name in candidates), *members_of(candidates)]


def members_of(candidates: Sequence[str]) -> list[str]:
    """Those that are members of the ensemble."""
    return [name for name in candidates if name not in _ORDER]


def number(value: float | None, digits: int, *, signed: bool = False) -> str:
    """A number with a real minus sign; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return "–"
    text = f"{value:+,.{digits}f}" if signed else f"{value:,.{digits}f}"
    return text.replace("-", "−")


def bounds(pair: Sequence[float | None], digits: int, *, signed: bool = False) -> str:
    """An interval in brackets."""
    low, high = (number(bound, digits, signed=signed) for bound in pair)
    return f"[{low}, {high}]"


def is_nothing(pair: Sequence[float | None], digits: int) -> bool:
    """Whether the interval of a difference is zero at both ends, as far as so many digits show."""
    return all(bound is not None and round(bound, digits) == 0.0 for bound in pair)


def percent(share: float | None, digits: int = 1) -> str:
    """A share of one as a percentage."""
    return "–" if share is None or not math.isfinite(share) else f"{share * 100:,.{digits}f} %".replace("-", "−")


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    if seconds < 90.0:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def day(iso: str) -> str:
    """The day of an ISO time."""
    return iso[:10]


def compact(value: float) -> str:
    """A parameter or a feature's value in at most five characters or so."""
    if value == int(value) and abs(value) < 1e5:
        return f"{int(value):,}"
    return f"{value:.3g}"


def best_member(figures: Mapping[str, Mapping[str, float | None]], metric: str = "log_loss") -> str | None:
    """The member with the lowest figure; None where no member has one."""
    known = {name: value for name in members_of(list(figures)) if (value := figures[name][metric]) is not None}
    return min(known, key=lambda name: known[name]) if known else None
