"""A bundle from what was fitted: files first, a version from their hashes, the sealed manifest last."""

import hashlib
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from common import trees, vectors
from common.bundle import MEMBER_FILES, Bundle, Manifest, MemberEntry, Probe, open_bundle, seal_bundle
from common.catalog import Catalog
from common.clock import SECOND_US, to_datetime, to_iso
from common.ensemble import Calibration, Vector, combine
from common.explanation import ShapExplainer
from common.feature_specs import NAMES, SCHEMA_HASH
from common.members import Matrix
from training.explanation import background, importance
from training.fits import FittedMember

REFERENCE_ROWS = 2_000
PROBE_ROWS = 16
IMPORTANCE_ROWS = 256


@dataclass(frozen=True)
class Ensemble:
    """The fitted members and how they become one probability."""

    members: Mapping[str, FittedMember]
    calibrations: Mapping[str, Calibration]
    weights: Mapping[str, float]
    threshold: float

    def member_probabilities(self) -> dict[str, Vector]:
        """Of every row that the members gave margins for, (n,) each."""
        return {name: self.calibrations[name].probability(self.members[name].margins) for name in self.weights}


@dataclass(frozen=True)
class Contents:
    """What else goes into a bundle: the rows (n, f) of the members' margins, which of them were fitted, and facts."""

    X: Matrix
    fit_rows: slice
    catalog: Catalog
    horizon_us: int
    metrics: dict[str, Any]
    data: dict[str, Any]


def assemble(ensemble: Ensemble, contents: Contents, *, bundles: Path, now_us: int, seed: int) -> Bundle:
    """The bundle of an ensemble, written below `bundles` under its version and opened as a replica opens it."""
    with _workshop(bundles) as path:
        explainer = _write_files(path, ensemble, contents, seed=seed)
        version = f"{to_datetime(now_us):%Y%m%dT%H%M%S}-{_digest(path)[:8]}"
        sample = contents.X[_spread(len(contents.X), IMPORTANCE_ROWS)]
        manifest = Manifest(
            version=version,
            created=to_iso(now_us),
            feature_schema=SCHEMA_HASH,
            features=list(NAMES),
            members=[_entry(ensemble, name) for name in ensemble.weights],
            threshold=ensemble.threshold,
            label_horizon_s=contents.horizon_us // SECOND_US,
            catalog_through_day=contents.catalog.through_day,
            metrics=contents.metrics,
            importance=importance(explainer, sample, ensemble.weights, NAMES),
            data=contents.data,
            probe=_probe(ensemble, contents.X),
        )
        seal_bundle(path, manifest)
        target = bundles / version
        path.rename(target)
    return open_bundle(target, feature_schema=SCHEMA_HASH)


def _write_files(path: Path, ensemble: Ensemble, contents: Contents, *, seed: int) -> ShapExplainer:
    (path / "members").mkdir()
    for name, member in ensemble.members.items():
        (path / MEMBER_FILES[name]).write_bytes(member.native)
    contents.catalog.write(path / "catalog.parquet")
    tables = {name: member.trees for name, member in ensemble.members.items()}
    trees.write(path / trees.FILE, tables)
    X = contents.X[contents.fit_rows]
    probability = combine(ensemble.member_probabilities(), ensemble.weights)[contents.fit_rows]
    typical = background(X, probability, seed=seed)
    vectors.write(path / vectors.BACKGROUND_FILE, typical, NAMES)
    vectors.write(path / vectors.REFERENCE_FILE, X[_spread(len(X), REFERENCE_ROWS)], NAMES)
    base_margins = {name: member.base_margin for name, member in ensemble.members.items()}
    return ShapExplainer(tables, base_margins, ensemble.calibrations, typical)


def _entry(ensemble: Ensemble, name: str) -> MemberEntry:
    member = ensemble.members[name]
    return MemberEntry(
        name=name,
        kind=member.kind,
        file=MEMBER_FILES[member.kind],
        weight=ensemble.weights[name],
        calibration=ensemble.calibrations[name],
        base_margin=member.base_margin,
        params={**member.params, "rounds": member.rounds},
    )


def _probe(ensemble: Ensemble, X: Matrix) -> Probe:
    rows = _spread(len(X), PROBE_ROWS)
    members = {name: p[rows] for name, p in ensemble.member_probabilities().items()}
    return Probe(
        x=X[rows].tolist(),
        members={name: p.tolist() for name, p in members.items()},
        ensemble=combine(members, ensemble.weights).tolist(),
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
    path = bundles / ".making"
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
