"""What contacting shoppers is worth: expected profit over thresholds, and the threshold that pays best.

The rule that is judged: contact everyone whose probability is at least t, nobody else. A contact costs `contact_cost`;
one that is followed by a purchase earns `margin`, of which `caused_share` is put down to the contact. The log cannot
tell that share: its shoppers bought or did not buy without being contacted. At 1, the default, every purchase of a
contacted shopper counts as won (or kept) by the contact, so the figures are an upper bound; an experiment measures the
share. Points are decision points: a shopper who raises three of them is contacted up to three times, and a purchase
that follows a contacted view and a contacted cart of its product counts for both.

Profit is given per decision point, contacted or not, in the unit of `margin`. For a calibrated probability p the
expected profit of one contact is caused_share * margin * p - contact_cost, which is positive from
p = contact_cost / (caused_share * margin) on: the break-even threshold, which needs no data at all.

References: Elkan (2001), The foundations of cost-sensitive learning; Verbraken, Verbeke & Baesens (2013), A novel
profit maximizing metric for measuring classification performance of customer churn prediction models; Gutierrez &
Gerardy (2017), Causal inference and uplift modelling (why caused_share is not 1).
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.ensemble import Vector
from common.errors import ConfigError
from common.quality import UserResamples, interval

NOBODY = 1.0
"""A threshold that no probability reaches: contacting nobody is a rule, too, and earns 0."""

DRAWS = 200


@dataclass(frozen=True)
class Economics:
    """What a purchase earns, what a contact costs, and the share of the purchases that the contact has caused."""

    margin: float
    contact_cost: float
    caused_share: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what no shop has.

        Raises:
            ConfigError: a margin or share that is not positive, a share above 1, or a negative cost.
        """
        if not self.margin > 0.0:
            raise ConfigError(f"the margin of a purchase must be above 0, not {self.margin}")
        if not self.contact_cost >= 0.0:
            raise ConfigError(f"the cost of a contact must not be below 0, not {self.contact_cost}")
        if not 0.0 < self.caused_share <= 1.0:
            raise ConfigError(f"the share of purchases that contacts cause must be in (0, 1], not {self.caused_share}")

    @property
    def gain(self) -> float:
        """What a contact that is followed by a purchase earns before its cost."""
        return self.margin * self.caused_share

    @property
    def break_even(self) -> float:
        """The probability at which a contact pays for itself; `NOBODY` where none does."""
        return min(self.contact_cost / self.gain, NOBODY)


@dataclass(frozen=True)
class ProfitCurve:
    """Falling thresholds, the share of points at or above each, and the profit per point of contacting those, (k,)."""

    threshold: Vector
    contacted: Vector
    profit: Vector

    @property
    def best(self) -> float:
        """The threshold of the highest profit, the highest of equals: `NOBODY` where no contact pays."""
        return float(self.threshold[int(np.argmax(self.profit))])


def profit_curve(y: NDArray[np.int8], p: Vector, economics: Economics) -> ProfitCurve:
    """The curve over all probabilities that occur, from contacting nobody to contacting everybody.

    Args:
        y: outcomes (n,).
        p: probabilities (n,).
        economics: what contacts and purchases are worth.
    """
    return _Sorted(y, p).curve(economics)


@dataclass(frozen=True)
class Rule:
    """A threshold and what it does on some points; `interval` holds the profit in 95 % of draws of users."""

    threshold: float
    profit: float
    interval: tuple[float, float]
    contacted: float
    bought_when_contacted: float | None


@dataclass(frozen=True)
class ProfitReport:
    """The rule chosen on one part, beside the break-even rule, contacting everybody, and nobody (0), on a later part.

    `threshold_interval` is where the choice falls when the first part's users are drawn again. `over_break_even` is
    the chosen rule's profit minus the break-even rule's, paired.
    """

    economics: Economics
    chosen: Rule
    break_even: Rule
    everybody: Rule
    threshold_interval: tuple[float, float]
    over_break_even: tuple[float, float]

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


@dataclass(frozen=True)
class Outcomes:
    """Outcomes y (n,), the ensemble's probabilities p (n,) and whose they are, user (n,)."""

    y: NDArray[np.int8]
    p: Vector
    user: NDArray[Any]


def judge_profit(choose_on: Outcomes, judge_on: Outcomes, economics: Economics, *, draws: int = DRAWS) -> ProfitReport:
    """Choose the threshold that pays best on one part and say what it earns on another.

    Args:
        choose_on: the calibration part.
        judge_on: the untouched part.
        economics: what contacts and purchases are worth.
        draws: how often users are drawn for each interval.
    """
    ordered = _Sorted(choose_on.y, choose_on.p)
    worth = ordered.worth(economics)
    codes, drawn_users = _drawn_users(choose_on.user[ordered.order], draws)
    best = ordered.best(worth)
    redrawn = [ordered.best(drawn[codes] * worth) for drawn in drawn_users]
    thresholds = (best, economics.break_even, 0.0)
    profits = _drawn_profits(judge_on, thresholds, economics, draws)
    chosen, break_even, everybody = (
        _rule(judge_on, threshold, economics, of_rule) for threshold, of_rule in zip(thresholds, profits, strict=True)
    )
    return ProfitReport(
        economics, chosen, break_even, everybody, interval(np.array(redrawn)), interval(profits[0] - profits[1])
    )


class _Sorted:
    """Rows by falling probability; equal ones are contacted together."""

    def __init__(self, y: NDArray[np.int8], p: Vector) -> None:
        self.order = np.argsort(-p, kind="stable")
        self._y = y[self.order].astype(np.float64)
        falling = p[self.order]
        self._last = np.flatnonzero(np.concatenate([falling[:-1] != falling[1:], [True]]))
        self._threshold = falling[self._last]

    def worth(self, economics: Economics) -> Vector:
        """What contacting each row earns, in falling order of probability."""
        return economics.gain * self._y - economics.contact_cost

    def best(self, worth: Vector) -> float:
        """The threshold from which on the sum is highest, the highest of equals."""
        earned = np.cumsum(worth)[self._last]
        place = int(np.argmax(earned))
        return float(self._threshold[place]) if earned[place] > 0.0 else NOBODY

    def curve(self, economics: Economics) -> ProfitCurve:
        n = len(self._y)
        earned = np.cumsum(self.worth(economics))[self._last] / n
        return ProfitCurve(
            np.concatenate([[NOBODY], self._threshold]),
            np.concatenate([[0.0], (self._last + 1.0) / n]),
            np.concatenate([[0.0], earned]),
        )


def _rule(rows: Outcomes, threshold: float, economics: Economics, drawn: Vector) -> Rule:
    contacted = _contacted(rows.p, threshold)
    share = float(contacted.mean())
    bought = float(rows.y[contacted].mean()) if contacted.any() else None
    profit = share * (economics.gain * (bought or 0.0) - economics.contact_cost)
    return Rule(threshold, profit, interval(drawn), share, bought)


def _drawn_profits(rows: Outcomes, thresholds: Sequence[float], economics: Economics, draws: int) -> tuple[Vector, ...]:
    """The profit per point of each rule in each draw of users; sums are made per user once."""
    codes, drawn_users = _drawn_users(rows.user, draws)
    points = np.bincount(codes).astype(np.float64)
    drawn = []
    for threshold in thresholds:
        value = np.where(_contacted(rows.p, threshold), economics.gain * rows.y - economics.contact_cost, 0.0)
        sums = np.bincount(codes, weights=value)
        drawn.append(np.array([(count * sums).sum() / (count * points).sum() for count in drawn_users]))
    return tuple(drawn)


def _drawn_users(user: NDArray[Any], draws: int) -> tuple[NDArray[np.intp], list[Vector]]:
    """Which user each row (n,) is of, and how often each user counts in each draw: never draws * n numbers at once."""
    names, codes = np.unique(user, return_inverse=True)
    return codes.reshape(-1), UserResamples(np.arange(len(names)), draws=draws).weights()


def _contacted(p: Vector, threshold: float) -> NDArray[np.bool_]:
    result: NDArray[np.bool_] = (p >= threshold) & (threshold < NOBODY)
    return result
