"""Where a log begins and ends, whatever a few stray times say.

A label needs to know until when the log would have told of a purchase. One row with a wrong clock, far after
everything else, would say "for a month more" and turn the last day's open questions into false negatives; one far
before would stretch the parts that the log is split into.
"""

import numpy as np

from common.clock import DAY_US
from training.activity import BIN_US, Activity

MAX_STRAY_RATIO = 0.001
"""The most rows, as a share of all, that may be taken for strays at either end."""

MIN_SILENCE_US = 2 * DAY_US
"""The shortest silence that sets strays apart; a log of whole days can miss a day of trade and go on."""

SILENCE_GAPS = 20
"""A silence is also this many times longer than the median gap between busy bins: sparse logs are silent often."""


def span_of(activity: Activity) -> tuple[int, int]:
    """The first and the last instant (microseconds, inclusive) of a log without the strays at its ends.

    Strays are at most `MAX_STRAY_RATIO` of the rows, and a silence without any event sets them apart from the rest.
    So a log of under 1,000 rows has none, and neither has one that goes quiet in its middle.
    """
    if not len(activity.number):
        raise ValueError("a log without events has no ends")
    gaps = np.diff(activity.number)
    silence = max(MIN_SILENCE_US // BIN_US, SILENCE_GAPS * float(np.median(gaps))) if len(gaps) else 0.0
    allowed = int(MAX_STRAY_RATIO * activity.events.sum())
    before, after = np.cumsum(activity.events), np.cumsum(activity.events[::-1])[::-1]
    leading = np.flatnonzero((gaps > silence) & (before[:-1] <= allowed))
    trailing = np.flatnonzero((gaps > silence) & (after[1:] <= allowed))
    first = int(activity.number[leading[-1] + 1 if len(leading) else 0])
    last = int(activity.number[trailing[0] if len(trailing) else -1])
    return first * BIN_US, (last + 1) * BIN_US - 1
