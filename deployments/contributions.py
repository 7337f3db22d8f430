"""What an explanation is between the router and the explainer."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Weights = dict[str, float]


@dataclass(frozen=True)
class Contributions:
    """Explanations of some rows: `base` float64 (n,), `values` float64 (n, f); per member where asked for.

    For SHAP `base + values.sum(axis=1)` is the probability. For LIME it is the local surrogate's prediction, and `r2`
    says how well that surrogate fits.
    """

    base: NDArray[np.float64]
    values: NDArray[np.float64]
    members: dict[str, tuple[float, NDArray[np.float64]]]
    r2: float | None = None


class ExplainerClient(Protocol):
    """How the explainer is asked; a Serve handle in production."""

    async def shap(self, version: str, rows: bytes, weights: Weights, per_member: bool) -> Contributions: ...

    async def lime(self, version: str, row: bytes, weights: Weights) -> Contributions: ...
