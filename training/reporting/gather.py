"""What a report shows of a finished bundle that the run itself has no need of."""

import numpy as np

from common.bundle import Bundle
from common.explanation import ShapExplainer
from common.members import Matrix
from training.reporting.content import Explained


def explained_by(bundle: Bundle, X: Matrix) -> Explained:
    """A bundle's own explanations of some vectors.

    Args:
        bundle: with its trees and its background.
        X: float32 (m, f); 300 to 1,000 rows, evenly spread over the log, say enough.

    Raises:
        BundleError: its trees or its background do not fit its manifest.
    """
    manifest = bundle.manifest
    found = ShapExplainer.from_bundle(bundle).explain(X, manifest.weights, per_member=True)
    importance = {
        name: dict(zip(manifest.features, np.abs(own.contributions).mean(axis=0).tolist(), strict=True))
        for name, own in found.members.items()
    }
    return Explained(X, found.contributions, found.base_value, importance)
