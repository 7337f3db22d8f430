"""What a finished bundle says about vectors, read from its files as a replica reads them."""

from collections.abc import Iterable

import numpy as np

from common.bundle import Bundle
from common.ensemble import Vector, combine
from common.members import Matrix, adapter
from common.processes import usable_cpus


class Predictor:
    """The members of a bundle, loaded once."""

    def __init__(self, bundle: Bundle) -> None:
        threads = usable_cpus()
        self._weights = bundle.manifest.weights
        self._members = {
            member.name: (member.calibration, adapter(member.kind).load(bundle.file(member.file), threads=threads))
            for member in bundle.manifest.members
        }

    def members(self, X: Matrix) -> dict[str, Vector]:
        """The calibrated probabilities (n,) of every member for vectors (n, f)."""
        return {name: calibration.probability(margin(X)) for name, (calibration, margin) in self._members.items()}

    def members_of(self, blocks: Iterable[Matrix]) -> dict[str, Vector]:
        """The same for vectors that come in blocks, one of them in memory at a time."""
        found = [self.members(X) for X in blocks]
        empty = [np.zeros(0)]
        return {name: np.concatenate([of_block[name] for of_block in found] or empty) for name in self._members}

    def ensemble_of(self, blocks: Iterable[Matrix]) -> Vector:
        """The vote (n,) of the members for vectors that come in blocks."""
        return combine(self.members_of(blocks), self._weights)


def member_probabilities(bundle: Bundle, X: Matrix) -> dict[str, Vector]:
    """The calibrated probabilities (n,) of every member for vectors (n, f)."""
    return Predictor(bundle).members(X)


def ensemble_probability(bundle: Bundle, X: Matrix) -> Vector:
    """The vote (n,) of the bundle's members for vectors (n, f)."""
    return combine(member_probabilities(bundle, X), bundle.manifest.weights)
