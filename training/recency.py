"""How much a past example counts: half as much for every half-life that it is old."""

import numpy as np
from numpy.typing import NDArray

from common.clock import DAY_US
from common.ensemble import Vector


def recency_weights(as_of_us: NDArray[np.int64], *, now_us: int, half_life_days: float | None) -> Vector | None:
    """Weights (n,) in (0, 1] of examples at `as_of_us`, seen from `now_us`; None where all count the same.

    Args:
        as_of_us: the times of the examples (n,), none after `now_us`.
        now_us: when something is learned from them.
        half_life_days: the age at which an example counts half; None or 0 for no such thing.
    """
    if not half_life_days:
        return None
    age_days = (now_us - as_of_us) / DAY_US
    result: Vector = np.exp2(-age_days / half_life_days)
    return result
