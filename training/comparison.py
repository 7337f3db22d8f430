"""A challenger against the champion, on points for which both have honest probabilities.

Nobody is judged by points that he has learned. The challenger's probabilities are those of its holdout. The
champion's are those of its own holdout where the two share points, and what its files say of points that are newer
than all that it learned. docs/promotion.md has the reasons, and the error rates of the rule by simulation.

References: Piaggio et al. (2012), Reporting of noninferiority and equivalence randomized trials. Field & Welsh (2007),
Bootstrapping clustered data.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.clock import HOUR_US, SECOND_US, to_iso
from common.ensemble import Vector
from common.holdout import Holdout
from common.quality import UserResamples, interval, log_losses

MARGIN = 0.01
"""How much worse a challenger's log loss may be, as a share of the champion's.

Two fits of one recipe that differ in the seed alone differ by 0.4 % of the log loss, give or take as much, on 14,000
points of a real shop: half the margin could hardly be passed there by an equal. The features that a shop's own events
allow are worth 12 %.
"""

MIN_USERS, MIN_BOUGHT = 200, 50
"""Below these an interval from resampled users does not hold what it says."""

DRAWS = 1_000
_Z_INTERVAL, _Z_POWER = 1.96, 0.84

Predict = Callable[[NDArray[np.intp]], Vector]
"""The champion's probabilities (m,) of some rows of the challenger's holdout, by their sorted numbers (m,)."""


class Verdict(StrEnum):
    """What a comparison says; the first two let the challenger pass."""

    BETTER = "better"
    NOT_WORSE = "not worse"
    WORSE = "worse"
    UNCLEAR = "unclear"
    IMPOSSIBLE = "impossible"


@dataclass(frozen=True)
class Contestant:
    """What must be known of a bundle to compare it."""

    version: str
    label_horizon_s: int
    learned_to_us: int
    holdout: Holdout


@dataclass(frozen=True)
class Comparison:
    """What was compared, what was found, and what follows.

    `difference` is the challenger's log loss minus the champion's; the `relative_interval` is of its share of the
    champion's. `shared` points are in both holdouts, `fresh` ones are newer than what the champion learned.
    """

    champion: str
    verdict: Verdict
    message: str
    remedy: str = ""
    margin: float = MARGIN
    points: int = 0
    users: int = 0
    bought: int = 0
    shared: int = 0
    fresh: int = 0
    span: tuple[str, str] | None = None
    log_loss: dict[str, float] = field(default_factory=dict)
    difference: float | None = None
    interval: tuple[float, float] | None = None
    relative_interval: tuple[float, float] | None = None
    points_needed: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, kept: Mapping[str, Any]) -> "Comparison":
        """As it was before JSON took it."""
        tuples = {name: tuple(kept[name]) for name in ("span", "interval", "relative_interval") if kept[name]}
        return cls(**{**kept, **tuples, "verdict": Verdict(kept["verdict"])})


@dataclass(frozen=True)
class Difference:
    """The difference of two log losses on the same points, users resampled; relative to the second."""

    ours: float
    theirs: float
    interval: tuple[float, float]
    relative_interval: tuple[float, float]
    relative_error: float

    def verdict(self, margin: float = MARGIN) -> Verdict:
        """Not worse is who is worse by less than `margin` at the upper end of the 95 % interval."""
        low, high = self.relative_interval
        if high < margin:
            return Verdict.BETTER if high < 0.0 else Verdict.NOT_WORSE
        return Verdict.WORSE if low > 0.0 else Verdict.UNCLEAR

    def points_needed(self, points: int, margin: float = MARGIN) -> int:
        """On how many points an equal challenger would be let through four times in five."""
        return math.ceil(points * ((_Z_INTERVAL + _Z_POWER) * self.relative_error / margin) ** 2)


def difference(y: NDArray[np.int8], ours: Vector, theirs: Vector, user: NDArray[Any]) -> Difference:
    """How much the log loss of `ours` (n,) is above that of `theirs` (n,), with intervals.

    Args:
        y: outcomes (n,).
        ours: probabilities (n,).
        theirs: probabilities (n,).
        user: whose point each is (n,).
    """
    a, b = log_losses(y, ours), log_losses(y, theirs)
    resamples = UserResamples(user, draws=DRAWS)
    of_difference, of_theirs, count = resamples.sums(np.stack([a - b, b, np.ones_like(a)]))
    relative = of_difference / of_theirs
    return Difference(
        ours=float(a.mean()),
        theirs=float(b.mean()),
        interval=interval(of_difference / count),
        relative_interval=interval(relative),
        relative_error=float(relative.std()),
    )


def compare(
    challenger: Contestant, champion: Contestant, predict: Predict | None, *, margin: float = MARGIN
) -> Comparison:
    """Hold a challenger against the champion.

    Args:
        challenger: who would take over.
        champion: who serves.
        predict: the champion's files on rows of the challenger's holdout; None where their vectors are not at hand.
        margin: how much worse the challenger may be, as a share of the champion's log loss.
    """
    unfair = _unfair(challenger, champion)
    if unfair is not None:
        return unfair
    theirs, shared, fresh = champions_word(challenger.holdout, champion, predict)
    known = shared | fresh
    points = challenger.holdout.rows(known)
    counts = _Counts.of(points, int(shared.sum()), int(fresh.sum()))
    if counts.users < MIN_USERS or counts.bought < MIN_BOUGHT:
        return _too_few(champion, counts, can_predict=predict is not None)
    return _judged(champion.version, points, theirs[known], counts, margin)


@dataclass(frozen=True)
class _Counts:
    """What a comparison rests on."""

    points: int
    users: int
    bought: int
    shared: int
    fresh: int

    @classmethod
    def of(cls, points: Holdout, shared: int, fresh: int) -> "_Counts":
        return cls(len(points), len(np.unique(points.user)), int(points.label.sum()), shared, fresh)

    @property
    def text(self) -> str:
        return f"{self.points:,} points of {self.users:,} users with {self.bought:,} purchases"


def _unfair(challenger: Contestant, champion: Contestant) -> Comparison | None:
    """Why two bundles must not be compared at all, if there is a reason."""
    if challenger.label_horizon_s != champion.label_horizon_s:
        ours, theirs = (f"{side.label_horizon_s / 3600:g} h" for side in (challenger, champion))
        return Comparison(
            champion.version,
            Verdict.IMPOSSIBLE,
            f"it predicts purchases within {ours}, the champion {champion.version} within {theirs}: "
            "their probabilities answer different questions",
            remedy=f"Train with --label-horizon-h {champion.label_horizon_s / 3600:g}",
        )
    behind_us = champion.learned_to_us - challenger.learned_to_us
    if behind_us > challenger.label_horizon_s * SECOND_US:
        return Comparison(
            champion.version,
            Verdict.IMPOSSIBLE,
            f"it learned from points up to {_day(challenger.learned_to_us)}, the champion {champion.version} up to "
            f"{_day(champion.learned_to_us)}, {_span(behind_us)} later: the champion may know the answers, and a shop "
            "is not served by older knowledge",
            remedy="Train on a log that reaches at least as far",
        )
    return None


def champions_word(
    points: Holdout, champion: Contestant, predict: Predict | None
) -> tuple[Vector, NDArray[np.bool_], NDArray[np.bool_]]:
    """The champion's honest probabilities (n,), where there are some; which are shared and which are fresh, masks."""
    theirs = np.full(len(points), np.nan)
    order = np.argsort(champion.holdout.point, kind="stable")
    known = champion.holdout.point[order]
    at = np.minimum(np.searchsorted(known, points.point), max(0, len(known) - 1))
    shared = known[at] == points.point if len(known) else np.zeros(len(points), dtype=bool)
    theirs[shared] = champion.holdout.ensemble[order[at[shared]]]
    fresh = np.zeros(len(points), dtype=bool)
    if predict is not None:
        # a label that it learned may be about purchases up to one horizon later
        unseen_us = champion.learned_to_us + champion.label_horizon_s * SECOND_US
        fresh = (points.as_of_us >= unseen_us) & ~shared
        if fresh.any():
            theirs[fresh] = predict(np.flatnonzero(fresh))
    return theirs, shared, fresh


def _too_few(champion: Contestant, counts: _Counts, *, can_predict: bool) -> Comparison:
    learned = _day(champion.learned_to_us)
    newer = "" if can_predict else "; on points newer than that only `train --promote` compares"
    return Comparison(
        champion.version,
        Verdict.IMPOSSIBLE,
        f"no fair comparison with {champion.version} is possible: there are {counts.text} that neither has learned "
        f"(the champion learned all up to {learned}{newer}), and it takes {MIN_USERS} users and {MIN_BOUGHT} purchases",
        remedy="Train both on one log, or train on a log that goes on for longer after that",
        **asdict(counts),
    )


def _judged(champion: str, points: Holdout, theirs: Vector, counts: _Counts, margin: float) -> Comparison:
    found = difference(points.label, points.ensemble, theirs, points.user)
    verdict = found.verdict(margin)
    needed = found.points_needed(counts.points, margin) if verdict is Verdict.UNCLEAR else None
    remedy = {
        Verdict.WORSE: "Keep the champion, or search longer",
        Verdict.UNCLEAR: f"An equal bundle would pass on about {_rounded(needed or 0)} points, four times in five: "
        "train on a log that goes on for longer",
    }.get(verdict, "")
    low, high = found.relative_interval
    message = (
        f"{_SAYS[verdict].format(margin=margin)} {champion}: log loss {found.ours:.4f} against {found.theirs:.4f}, "
        f"{(found.ours / found.theirs - 1.0):+.2%}, 95 % interval {low:+.2%} to {high:+.2%}, up to {margin:.0%} is "
        f"allowed; on {counts.text} ({_sources(counts)})"
    )
    return Comparison(
        champion,
        verdict,
        message,
        remedy,
        margin,
        span=(to_iso(int(points.as_of_us.min())), to_iso(int(points.as_of_us.max()))),
        log_loss={"challenger": found.ours, "champion": found.theirs},
        difference=found.ours - found.theirs,
        interval=found.interval,
        relative_interval=found.relative_interval,
        points_needed=needed,
        **asdict(counts),
    )


_SAYS = {
    Verdict.BETTER: "better than",
    Verdict.NOT_WORSE: "not worse, beyond {margin:.0%}, than",
    Verdict.WORSE: "worse than",
    Verdict.UNCLEAR: "too uncertain against",
}


def _sources(counts: _Counts) -> str:
    named = ((counts.shared, "that neither had learned when it was judged"), (counts.fresh, "newer than the champion"))
    return ", ".join(f"{count:,} {text}" for count, text in named if count)


def _rounded(points: int) -> str:
    digits = max(0, len(str(points)) - 2)
    return f"{round(points, -digits):,}"


def _day(time_us: int) -> str:
    return to_iso(time_us)[:16].replace("T", " ")


def _span(duration_us: int) -> str:
    hours = duration_us / HOUR_US
    return f"{hours / 24:.0f} days" if hours >= 48 else f"{hours:.0f} h"
