"""Explanations as a deployment of their own: slower than predictions, scaled and shed apart from them."""

import asyncio
import gc
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from common.bundle import Bundle, open_bundle
from common.errors import BundleError
from common.explanation import ShapExplainer
from common.feature_specs import SCHEMA_HASH, WIDTH
from deployments.contributions import Contributions, Weights
from deployments.explanation import LimeExplainer


class Explainer:
    """Explains the ensemble of one or more bundle versions."""

    def __init__(self, bundle_path: str) -> None:
        self._shap: dict[str, ShapExplainer] = {}
        self._lime: dict[str, LimeExplainer] = {}
        self._bundles: dict[str, Bundle] = {}
        self.load(bundle_path)
        gc.collect()
        gc.freeze()

    def load(self, bundle_path: str) -> str:
        """Load a bundle's trees and background beside those already served, and warm them up."""
        bundle = open_bundle(Path(bundle_path), feature_schema=SCHEMA_HASH)
        explainer = ShapExplainer.from_bundle(bundle)
        probe = np.array(bundle.manifest.probe.x[:1], dtype=np.float32).tobytes()
        # as requests do it, from read-only bytes: kernels are compiled for each kind of array
        _explain_shap(explainer, _matrix(probe), bundle.manifest.weights, False)
        self._shap[bundle.version] = explainer
        self._bundles[bundle.version] = bundle
        return bundle.version

    async def shap(self, version: str, rows: bytes, weights: Weights, per_member: bool) -> Contributions:
        """Shapley values of the weighted vote, for vectors float32 (n, f) as bytes.

        Raises:
            BundleError: this replica does not serve that version.
        """
        explainer = self._shap.get(version)
        if explainer is None:
            raise BundleError(f"the explainer does not serve bundle {version}")
        # off the event loop: a replica whose loop is busy for long misses its health checks
        return await asyncio.to_thread(_explain_shap, explainer, _matrix(rows), weights, per_member)

    async def lime(self, version: str, row: bytes, weights: Weights) -> Contributions:
        """LIME's local surrogate of the weighted vote around one vector, float32 (1, f) as bytes.

        Raises:
            BundleError: this replica does not serve that version.
        """
        bundle = self._bundles.get(version)
        if bundle is None:
            raise BundleError(f"the explainer does not serve bundle {version}")
        return await asyncio.to_thread(self._explain_lime, bundle, _matrix(row), weights)

    async def alive(self) -> bool:
        """Whether this replica answers."""
        return True

    def _explain_lime(self, bundle: Bundle, row: NDArray[np.float32], weights: Weights) -> Contributions:
        # made at first use: importing LIME takes seconds, and few ask for it
        if bundle.version not in self._lime:
            self._lime[bundle.version] = LimeExplainer.from_bundle(bundle)
        local = self._lime[bundle.version].explain(row[0], weights)
        return Contributions(np.array([local.base_value]), local.contributions[np.newaxis, :], {}, r2=local.r2)


def _matrix(rows: bytes) -> NDArray[np.float32]:
    return np.frombuffer(rows, dtype=np.float32).reshape(-1, WIDTH)


def _explain_shap(
    explainer: ShapExplainer, matrix: NDArray[np.float32], weights: Weights, per_member: bool
) -> Contributions:
    explanation = explainer.explain(matrix, weights, per_member=per_member)
    base = np.broadcast_to(np.asarray(explanation.base_value, dtype=np.float64), (len(matrix),))
    return Contributions(base.copy(), explanation.contributions, dict(explanation.members))
