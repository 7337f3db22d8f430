"""How long a fitted member takes to answer: its native file, loaded and asked on one thread, as it is when served."""

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from common.bundle import MEMBER_FILES
from common.members import Margin, Matrix, adapter

SIZES = (1, 32)
"""A lone request, and a micro-batch of a busy replica."""

_CALLS = 25
_WARM_UP_CALLS = 3


def latencies_ms(kind: str, model: Any, X: Matrix) -> dict[int, float]:
    """The median milliseconds of a prediction for each of `SIZES`, by the number of rows.

    Args:
        kind: which of the member kinds it is.
        model: in its library's own class.
        X: rows (n, f) to predict, n > 0; each call takes others.
    """
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / Path(MEMBER_FILES[kind]).name
        adapter(kind).save(model, path)
        margin = adapter(kind).load(path, threads=1)
    return {rows: _median_ms(margin, X, rows) for rows in SIZES}


def _median_ms(margin: Margin, X: Matrix, rows: int) -> float:
    taken_s = []
    for call in range(_WARM_UP_CALLS + _CALLS):
        asked = X[np.arange(call * rows, (call + 1) * rows) % len(X)]
        started_s = time.perf_counter()
        margin(asked)
        taken_s.append(time.perf_counter() - started_s)
    return 1_000.0 * statistics.median(taken_s[_WARM_UP_CALLS:])
