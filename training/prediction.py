"""What a finished bundle says about vectors, read from its files as a replica reads them."""

import os

from common.bundle import Bundle
from common.ensemble import Vector, combine
from common.members import Matrix, adapter


def member_probabilities(bundle: Bundle, X: Matrix) -> dict[str, Vector]:
    """The calibrated probabilities (n,) of every member for vectors (n, f)."""
    threads = os.cpu_count() or 1
    return {
        member.name: member.calibration.probability(
            adapter(member.kind).load(bundle.file(member.file), threads=threads)(X)
        )
        for member in bundle.manifest.members
    }


def ensemble_probability(bundle: Bundle, X: Matrix) -> Vector:
    """The vote (n,) of the bundle's members for vectors (n, f)."""
    return combine(member_probabilities(bundle, X), bundle.manifest.weights)
