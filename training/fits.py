"""Fits with known parameters, many of them at once on the cluster, each where its rows are loaded."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray

from common.bundle import MEMBER_FILES
from common.ensemble import Vector
from common.members import adapter
from common.trees import TreeTable
from training.calibrate import calibrated_loss
from training.explanation import trees_of
from training.folds import FoldSource
from training.latency import latencies_ms

FOREST = "random_forest"

STAGE_ROUNDS = 50
"""Between two numbers of rounds that are tried: near its best the loss is flat."""


@dataclass(frozen=True)
class Fit:
    """One fit to be made, of just so many rounds."""

    kind: str
    params: Mapping[str, Any]
    rows: FoldSource
    seed: int
    rounds: int


@dataclass(frozen=True)
class Opinion:
    """What a fit that isn't kept thinks of its valid rows after its first 50, 100, ... rounds.

    `losses` are log losses of the calibrated margins by rounds; the margins (m,) themselves stay on the cluster until
    they are asked for.
    """

    losses: Mapping[int, float]
    margins: Mapping[int, "ray.ObjectRef[Vector]"]

    def after(self, rounds: int) -> Vector:
        """The margins (m,) after so many rounds, which must be among those of `losses`."""
        result: Vector = ray.get(self.margins[rounds])
        return result


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
    task = ray.remote(num_cpus=1)(_opinion)
    pending = [task.options(num_returns=1 + len(stages(fit))).remote(fit) for fit in fits]
    _wait([references[0] for references in pending], on_done)
    return [
        Opinion(ray.get(references[0]), dict(zip(stages(fit), references[1:], strict=True)))
        for fit, references in zip(fits, pending, strict=True)
    ]


def members_of(fits: Sequence[Fit], *, on_done: Callable[[int], None]) -> list[FittedMember]:
    """Each fit as a member of a bundle, in their order; `on_done` is told how many have ended."""
    task = ray.remote(num_cpus=1)(_member)
    pending = [task.remote(fit) for fit in fits]
    _wait(pending, on_done)
    members: list[FittedMember] = ray.get(pending)
    return members


def stages(fit: Fit) -> list[int]:
    """The numbers of rounds that are tried of a fit: every `STAGE_ROUNDS`, and all; of a forest, all its trees."""
    first = fit.rounds if fit.kind == FOREST else STAGE_ROUNDS
    return [*range(first, fit.rounds, STAGE_ROUNDS), fit.rounds]


def _wait(references: Sequence["ray.ObjectRef[Any]"], on_done: Callable[[int], None]) -> None:
    pending = list(references)
    while pending:
        _, pending = ray.wait(pending, fetch_local=False)
        on_done(len(references) - len(pending))


def _opinion(fit: Fit) -> tuple[Any, ...]:
    """The losses, then the margins, of each stage."""
    module = adapter(fit.kind)
    fold = fit.rows.load()
    model = module.fit(fold, fit.params, seed=fit.seed, threads=1, rounds=fit.rounds).model
    margins = {rounds: module.staged(model, fold.X_valid, rounds, threads=1) for rounds in stages(fit)}
    losses = {rounds: calibrated_loss(margin, fold.y_valid) for rounds, margin in margins.items()}
    return losses, *margins.values()


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
