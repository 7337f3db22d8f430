"""The scale on which a feature's values are shown: seconds as people count them, heavy tails on a logarithm."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.ensemble import Vector
from common.feature_specs import NEVER_S, Spec
from training.reporting.figure import axis
from training.reporting.wording import compact

_TIMES = ((1, "1 s"), (60, "1 min"), (3_600, "1 h"), (86_400, "1 d"))
_DECADES = (0, 1, 3, 10, 30, 100, 300, 1_000, 3_000, 10_000, 30_000, 100_000, 1_000_000)
_HEAVY_TAIL = 12.0


class Scale(NamedTuple):
    """Where values (m,) lie on an axis, and that axis."""

    at: Vector
    axis: dict[str, Any]


def scale_of(values: NDArray[np.float32], spec: Spec) -> Scale:
    """The scale that suits a feature's values.

    Args:
        values: (m,), finite.
        spec: the feature.
    """
    x = values.astype(np.float64)
    title = f"{spec.name} ({spec.unit})" if spec.unit not in ("0/1", "kind") else spec.name
    if spec.unit == "s":
        ticks = [(float(at), word) for at, word in _TIMES] + [(NEVER_S, "never")]
        return _logarithmic(x, f"{spec.name}", ticks)
    low, middle, high = np.quantile(x, [0.0, 0.5, 0.99])
    if low >= 0.0 and high > _HEAVY_TAIL * max(middle, 1.0):
        return _logarithmic(x, title, [(float(tick), compact(tick)) for tick in _DECADES])
    return Scale(x, axis(title))


def _logarithmic(x: Vector, title: str, ticks: list[tuple[float, str]]) -> Scale:
    within = [(at, word) for at, word in ticks if x.min() <= at * 1.05 and at <= max(x.max(), 1.0) * 1.05]
    positions = [float(np.log10(1.0 + at)) for at, _ in within]
    return Scale(np.log10(1.0 + x), axis(title, tickvals=positions, ticktext=[word for _, word in within], tickangle=0))
