"""A log cut into fit, tune, calibrate and test by time, one label horizon of silence between them.

A label looks one horizon ahead. Without the silence, the last examples of one part would know about purchases
that happen inside the next one.

The search learns from `fit` and compares by `tune`. Then time rolls on: what was learned from everything before a
part says what it thinks of that part (see `training.backtest`).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from common.clock import HOUR_US, to_iso
from common.errors import EventLogError

PARTS = ("fit", "tune", "calibrate", "test")
"""Learn from first; search by; calibrate and weigh by, with `tune`; look at once, at the end."""

SHARES = (0.60, 0.125, 0.125, 0.15)
"""The share of each part in the time that the silences leave."""

_REMEDY = "Give a longer log: at least two weeks, and some dozens of purchases"


@dataclass(frozen=True)
class Split:
    """The rows of each part, as slices of rows in order of time, and when each part begins and ends."""

    rows: dict[str, slice]
    span_us: dict[str, tuple[int, int]]

    def before(self, part: str) -> slice:
        """All rows whose labels are settled when `part` begins; empty for the first one."""
        earlier = PARTS[: PARTS.index(part)]
        return slice(0, self.rows[earlier[-1]].stop if earlier else 0)


def split_by_time(
    as_of_us: NDArray[np.int64], y: NDArray[np.int8], *, embargo_us: int, shares: tuple[float, ...] = SHARES
) -> Split:
    """The parts of examples that are sorted by time.

    Every example of a part has its whole horizon before the next part begins.

    Args:
        as_of_us: the time of each example, ascending, (n,).
        y: 1 where the user bought, (n,); each part must have both outcomes.
        embargo_us: the label horizon.
        shares: of `PARTS`, summing to 1.

    Raises:
        EventLogError: there is nothing to split, or a part would have only one outcome.
    """
    if not len(y):
        raise EventLogError("no decision point has its whole label horizon inside the log", remedy=_REMEDY)
    _check_outcomes("log", y)
    usable_us = int(as_of_us[-1]) - int(as_of_us[0]) - embargo_us * (len(PARTS) - 1)
    if usable_us <= 0:
        hours = (int(as_of_us[-1]) - int(as_of_us[0])) // HOUR_US
        silences = f"{len(PARTS) - 1} silences of {embargo_us // HOUR_US} h"
        raise EventLogError(f"usable decision points span {hours} h, which {silences} use up", remedy=_REMEDY)
    rows: dict[str, slice] = {}
    span_us: dict[str, tuple[int, int]] = {}
    start_us = int(as_of_us[0])
    for number, part in enumerate(PARTS):
        last = number == len(PARTS) - 1
        end_us = int(as_of_us[-1]) + 1 if last else start_us + round(usable_us * shares[number])
        low, high = np.searchsorted(as_of_us, [start_us, end_us])
        rows[part], span_us[part] = slice(int(low), int(high)), (start_us, end_us)
        _check_outcomes(f"part {part!r} ({to_iso(start_us)[:10]} to {to_iso(end_us)[:10]})", y[rows[part]])
        start_us = end_us + embargo_us
    return Split(rows, span_us)


def _check_outcomes(where: str, y: NDArray[np.int8]) -> None:
    bought = int(y.sum())
    if bought == 0:
        raise EventLogError(
            f"no purchase follows any of the {len(y)} decision points of the {where} within the label horizon",
            remedy=_REMEDY,
        )
    if bought == len(y):
        raise EventLogError(f"every decision point of the {where} ends in a purchase", remedy=_REMEDY)
