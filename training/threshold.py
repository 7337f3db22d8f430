"""The probability from which a purchase is expected: the one with the best F1 on the calibration part.

F1 at the rows' own frequencies is what the manifest's threshold maximises. For reports there is also the threshold
of the best F1 at 1:1, as the balanced figures in the literature are computed; decisions do not use it.

References: Lipton, Elkan & Naryanaswamy (2014), Optimal thresholding of classifiers to maximize F1 measure.
"""

import numpy as np
from numpy.typing import NDArray

from common.ensemble import Vector


def best_f1_threshold(y: NDArray[np.int8], p: Vector, *, balanced: bool = False) -> float:
    """The probability at and above which a yes gives the best F1, inside (0, 1).

    Args:
        y: outcomes (n,), both present.
        p: probabilities (n,).
        balanced: weigh the outcomes to 1:1 first.
    """
    order = np.argsort(-p, kind="stable")
    bought = y[order] > 0
    positives, negatives = int(bought.sum()), int((~bought).sum())
    scale = positives / negatives if balanced else 1.0
    found, wrong = np.cumsum(bought), scale * np.cumsum(~bought)
    f1 = 2.0 * found / (found + wrong + positives)
    # only the last row of equal probabilities is a place to cut
    sorted_p = p[order]
    f1[:-1][sorted_p[:-1] == sorted_p[1:]] = -1.0
    cut = float(sorted_p[int(np.argmax(f1))])
    return min(max(cut, 1e-9), 1.0 - 1e-9)
