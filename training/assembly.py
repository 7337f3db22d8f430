"""A bundle from what was fitted: files first, a version from their hashes, the sealed manifest last."""

import hashlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from common import holdout, trees, vectors
from common.bundle import MEMBER_FILES, Bundle, Manifest, MemberEntry, Probe, open_bundle, seal_bundle
from common.catalog import Catalog
from common.clock import SECOND_US, to_datetime, to_iso
from common.ensemble import Vector, combine
from common.explanation import ShapExplainer
from common.feature_specs import NAMES, SCHEMA_HASH
from common.holdout import Holdout
from common.members import Matrix
from training.explanation import background, importance
from training.fits import FittedMember
from training.leakage import Check
from training.model_card import FILE as MODEL_CARD
from training.model_card import model_card
from training.vote import Vote

REFERENCE_ROWS = 2_000
PROBE_ROWS = 16
IMPORTANCE_ROWS = 256


@dataclass(frozen=True)
class Contents:
    """What goes into a bundle.

    `members` are those that are served, and `X` (n, f) the rows, spread over the log, that their margins are of.
    `vote` makes one probability of them. `holdout` is what the recipe said of the untouched last part, `checks` what
    was done to find out whether it could have known the answers.
    """

    members: Mapping[str, FittedMember]
    X: Matrix
    vote: Vote
    catalog: Catalog
    horizon_us: int
    holdout: Holdout
    metrics: dict[str, Any]
    data: dict[str, Any]
    checks: Sequence[Check]

    def probabilities(self) -> dict[str, Vector]:
        """Of every row of `X`, calibrated, (n,) for each member."""
        return self.vote.members({name: member.margins for name, member in self.members.items()})


def assemble(contents: Contents, *, bundles: Path, now_us: int, seed: int) -> Bundle:
    """The bundle, written below `bundles` under its version and opened as a replica opens it."""
    with _workshop(bundles) as path:
        explainer = _write_files(path, contents, seed=seed)
        version = f"{to_datetime(now_us):%Y%m%dT%H%M%S}-{_digest(path)[:8]}"
        sample = contents.X[_spread(len(contents.X), IMPORTANCE_ROWS)]
        vote = contents.vote
        manifest = Manifest(
            version=version,
            created=to_iso(now_us),
            feature_schema=SCHEMA_HASH,
            features=list(NAMES),
            members=[_entry(contents, name) for name in vote.weights],
            threshold=vote.threshold,
            label_horizon_s=contents.horizon_us // SECOND_US,
            catalog_through_day=contents.catalog.through_day,
            metrics=contents.metrics,
            importance=importance(explainer, sample, vote.weights, NAMES),
            data=contents.data,
            probe=_probe(contents),
        )
        card = model_card(manifest, profit=contents.metrics.get("profit"), checks=contents.checks)
        (path / MODEL_CARD).write_text(card, encoding="utf-8")
        seal_bundle(path, manifest)
        target = bundles / version
        path.rename(target)
    return open_bundle(target, feature_schema=SCHEMA_HASH)


def _write_files(path: Path, contents: Contents, *, seed: int) -> ShapExplainer:
    (path / "members").mkdir()
    for name, member in contents.members.items():
        (path / MEMBER_FILES[name]).write_bytes(member.native)
    contents.catalog.write(path / "catalog.parquet")
    holdout.write(path / holdout.FILE, contents.holdout)
    tables = {name: member.trees for name, member in contents.members.items()}
    trees.write(path / trees.FILE, tables)
    X = contents.X
    typical = background(X, combine(contents.probabilities(), contents.vote.weights), seed=seed)
    vectors.write(path / vectors.BACKGROUND_FILE, typical, NAMES)
    vectors.write(path / vectors.REFERENCE_FILE, X[_spread(len(X), REFERENCE_ROWS)], NAMES)
    base_margins = {name: member.base_margin for name, member in contents.members.items()}
    return ShapExplainer(tables, base_margins, contents.vote.calibrations, typical)


def _entry(contents: Contents, name: str) -> MemberEntry:
    member, vote = contents.members[name], contents.vote
    return MemberEntry(
        name=name,
        kind=member.kind,
        file=MEMBER_FILES[member.kind],
        weight=vote.weights[name],
        calibration=vote.calibrations[name],
        base_margin=member.base_margin,
        params={**member.params, "rounds": member.rounds},
    )


def _probe(contents: Contents) -> Probe:
    rows = _spread(len(contents.X), PROBE_ROWS)
    members = {name: p[rows] for name, p in contents.probabilities().items()}
    return Probe(
        x=contents.X[rows].tolist(),
        members={name: p.tolist() for name, p in members.items()},
        ensemble=combine(members, contents.vote.weights).tolist(),
    )


def _spread(n: int, count: int) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """Up to `count` rows of n, evenly apart: rows are in order of time, so all times are among them."""
    return np.linspace(0, n - 1, min(n, count)).astype(np.intp)


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(file for file in path.rglob("*") if file.is_file()):
        digest.update(str(file.relative_to(path)).encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()


@contextmanager
def _workshop(bundles: Path) -> Iterator[Path]:
    """A directory beside the finished ones: what breaks off half-way is never taken for a bundle."""
    bundles.mkdir(parents=True, exist_ok=True)
    path = Path(tempfile.mkdtemp(prefix=".making-", dir=bundles))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
