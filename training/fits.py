"""Fits with known parameters, many of them at once on the cluster, each where its rows are loaded."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import ray

from common.bundle import MEMBER_FILES
from common.members import Vector, adapter
from common.trees import TreeTable
from training.explanation import trees_of
from training.folds import FoldSource
from training.latency import latencies_ms

Result = TypeVar("Result")


@dataclass(frozen=True)
class Fit:
    """One fit to be made; without `rounds` the valid part of the rows stops it early."""

    kind: str
    params: Mapping[str, Any]
    rows: FoldSource
    seed: int
    rounds: int | None = None


@dataclass(frozen=True)
class Opinion:
    """What a fit that isn't kept thinks of its valid rows: margins (m,) of its native file, and its rounds."""

    margins: Vector
    rounds: int


@dataclass(frozen=True)
class FittedMember:
    """A fitted member as a bundle needs it; `margins` (m,) of the valid rows are those of its native file."""

    kind: str
    params: dict[str, Any]
    rounds: int
    native: bytes
    trees: TreeTable
    base_margin: float
    margins: Vector
    latency_ms: dict[int, float]


def opinions_of(fits: Sequence[Fit], *, on_done: Callable[[int], None]) -> list[Opinion]:
    """The opinion of each fit, in their order; `on_done` is told how many have ended."""
    return _on_cluster(_opinion, fits, on_done)


def members_of(fits: Sequence[Fit], *, on_done: Callable[[int], None]) -> list[FittedMember]:
    """Each fit as a member of a bundle, in their order; `on_done` is told how many have ended."""
    return _on_cluster(_member, fits, on_done)


def _on_cluster(work: Callable[[Fit], Result], fits: Sequence[Fit], on_done: Callable[[int], None]) -> list[Result]:
    task = ray.remote(num_cpus=1)(work)
    references = [task.remote(fit) for fit in fits]
    pending = references
    while pending:
        _, pending = ray.wait(pending)
        on_done(len(references) - len(pending))
    results: list[Result] = ray.get(references)
    return results


def _opinion(fit: Fit) -> Opinion:
    module = adapter(fit.kind)
    fold = fit.rows.load()
    fitted = module.fit(fold, fit.params, seed=fit.seed, threads=1, rounds=fit.rounds)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / Path(MEMBER_FILES[fit.kind]).name
        module.save(fitted.model, path)
        return Opinion(module.load(path, threads=1)(fold.X_valid), fitted.rounds)


def _member(fit: Fit) -> FittedMember:
    module = adapter(fit.kind)
    fold = fit.rows.load()
    fitted = module.fit(fold, fit.params, seed=fit.seed, threads=1, rounds=fit.rounds)
    trees, base_margin = trees_of(fit.kind, fitted.model)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / Path(MEMBER_FILES[fit.kind]).name
        module.save(fitted.model, path)
        return FittedMember(
            kind=fit.kind,
            params=dict(fit.params),
            rounds=fitted.rounds,
            native=path.read_bytes(),
            trees=trees,
            base_margin=base_margin,
            margins=module.load(path, threads=1)(fold.X_valid),
            latency_ms=latencies_ms(fit.kind, fitted.model, fold.X_valid),
        )
