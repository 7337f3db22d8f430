"""The members of a bundle in one process, and the actor that votes with them and writes the result."""

import gc
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from common.bundle import Bundle, open_bundle
from common.ensemble import Vector, combine
from common.events import NAME_BY_KIND, EventKind
from common.feature_specs import SCHEMA_HASH
from common.members import Margin, adapter
from common.replay import X_FIELD, x_matrix

RANGE, ROWS = "range", "rows"


class Ensemble:
    """All members of a bundle, calibrated."""

    def __init__(self, path: Path, *, threads: int = 1) -> None:
        """Load the members, and check only their files.

        Raises:
            BundleError: the bundle can't be trusted or does not fit.
        """
        self.manifest = open_bundle(path, feature_schema=SCHEMA_HASH, only=()).manifest
        bundle = open_bundle(path, feature_schema=SCHEMA_HASH, only=[member.file for member in self.manifest.members])
        self._margins = _margins(bundle, threads)

    def members(self, X: NDArray[np.float32]) -> dict[str, Vector]:
        """Calibrated probabilities of each member, float64 (n,), of vectors float32 (n, f)."""
        calibrations = self.manifest.calibrations
        return {name: calibrations[name].probability(margin(X)) for name, margin in self._margins.items()}

    def vote(self, members: dict[str, Vector]) -> Vector:
        """The members' weighted vote, float64 (n,)."""
        return combine(members, self.manifest.weights)


class ScoringActor:
    """Scores blocks of vectors and writes each as one Parquet file, named by what it holds."""

    def __init__(self, bundle: str, parts: str, *, batch_size: int, with_features: bool) -> None:
        self._ensemble = Ensemble(Path(bundle))
        self._parts = Path(parts)
        self._batch_size = batch_size
        self._with_features = with_features
        # the models' heaps never die: leave them out of every later collection
        gc.collect()
        gc.freeze()

    def __call__(self, block: pa.Table) -> pa.Table:
        """Score a block of `vectors.FEATURED`; answers which range it was of and how many rows were written."""
        if not block.num_rows:
            return pa.table({RANGE: pa.array([], pa.int32()), ROWS: pa.array([], pa.int64())})
        scored = self.scored(block)
        number, row = block[RANGE][0].as_py(), block["row"][0].as_py()
        # a block that is scored again, after a crash, replaces its own file
        pq.write_table(scored, self._parts / f"part-{number:05d}-{row:08d}.parquet")
        return pa.table({RANGE: pa.array([number], pa.int32()), ROWS: pa.array([scored.num_rows], pa.int64())})

    def scored(self, block: pa.Table) -> pa.Table:
        """The output's rows of a block of `vectors.FEATURED`."""
        X = x_matrix(block)
        slices = [X[at : at + self._batch_size] for at in range(0, len(X), self._batch_size)]
        opinions = [self._ensemble.members(rows) for rows in slices]
        members = {name: np.concatenate([opinion[name] for opinion in opinions]) for name in opinions[0]}
        kinds = pa.array([NAME_BY_KIND[kind] for kind in (EventKind.VIEW, EventKind.CART)])
        columns: dict[str, Any] = {
            "user_id": block["user"],
            "user_session": block["session"],
            "product_id": block["product"],
            "as_of": block["as_of_us"].cast(pa.timestamp("us", tz="UTC")),
            "kind": kinds.take(block["kind"].combine_chunks()),
            "purchase_probability": pa.array(self._ensemble.vote(members)),
            **{name: pa.array(values) for name, values in members.items()},
            "bundle_version": pa.array([self._ensemble.manifest.version] * block.num_rows, pa.string()),
        }
        if self._with_features:
            columns[X_FIELD.name] = block[X_FIELD.name]
        return pa.table(columns)


def _margins(bundle: Bundle, threads: int) -> dict[str, Margin]:
    return {
        member.name: adapter(member.kind).load(bundle.file(member.file), threads=threads)
        for member in bundle.manifest.members
    }
