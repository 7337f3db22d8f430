"""The final fits: each kind once more with the best parameters that its search found, in parallel on the cluster."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray

from common.bundle import MEMBER_FILES
from common.members import Fold, Matrix, Vector, adapter
from common.trees import TreeTable
from training.explanation import trees_of


@dataclass(frozen=True)
class FittedMember:
    """A fitted member as a bundle needs it; `margins` (n,) of the given rows are those of its native file."""

    kind: str
    params: dict[str, Any]
    rounds: int
    native: bytes
    trees: TreeTable
    base_margin: float
    margins: Vector


def fit_members(
    fold: Fold, X: Matrix, params: Mapping[str, Mapping[str, Any]], *, seed: int
) -> dict[str, FittedMember]:
    """Fit every kind of `params` with early stopping on the fold's valid part.

    Args:
        fold: the fit and the tune part.
        X: rows (n, f) whose margins are wanted.
        params: the parameters of each kind.
        seed: the same as in the search, so that the fit is that of the best trial.
    """
    fold_ref, X_ref = ray.put(fold), ray.put(X)
    task = ray.remote(num_cpus=1)(_fit)
    pending = [task.remote(kind, dict(of_kind), fold_ref, X_ref, seed) for kind, of_kind in params.items()]
    return {member.kind: member for member in ray.get(pending)}


def _fit(kind: str, params: dict[str, Any], fold: Fold, X: Matrix, seed: int) -> FittedMember:
    module = adapter(kind)
    fitted = module.fit(fold, params, seed=seed, threads=1)
    trees, base_margin = trees_of(kind, fitted.model)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / Path(MEMBER_FILES[kind]).name
        module.save(fitted.model, path)
        margins = module.load(path, threads=1)(X)
        return FittedMember(kind, params, fitted.rounds, path.read_bytes(), trees, base_margin, margins)
