"""What a bundle's recipe said about the untouched last part of its log, point by point, before it learned that part.

The trees that are served were fitted on every labelled point, so no known point can judge them fairly. Twins of them,
fitted by the same recipe on what came before, gave these probabilities. Two bundles are compared on the points that
their files share, or on points that one of them has never seen.

Users and points are hashes: they say which rows belong together and nothing else. That is no anonymity: who has a
list of user ids can hash it, too.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from common.ensemble import Vector
from common.errors import BundleError

FILE = "holdout.parquet"

_SCHEMA = {
    "point": pa.uint64(),
    "user": pa.uint64(),
    "as_of_us": pa.int64(),
    "kind": pa.int8(),
    "label": pa.int8(),
    "ensemble": pa.float64(),
}
_KEY = ("user", "session", "product", "kind", "as_of_us")
_BETWEEN = "\x1f"
_HASH_BYTES = 8


@dataclass(frozen=True)
class Holdout:
    """Points with their outcomes, and the probabilities that were given to them without knowing these.

    `point`, `user` uint64 (n,), hashes · `as_of_us` int64 (n,) · `kind`, `label` int8 (n,) · `ensemble` float64 (n,),
    the vote · `members`: float64 (n,) for each member, calibrated.
    """

    point: NDArray[np.uint64]
    user: NDArray[np.uint64]
    as_of_us: NDArray[np.int64]
    kind: NDArray[np.int8]
    label: NDArray[np.int8]
    ensemble: Vector
    members: Mapping[str, Vector]

    def __len__(self) -> int:
        return len(self.point)

    def rows(self, chosen: NDArray[Any]) -> "Holdout":
        """Some rows, by a mask (n,) or by numbers."""
        return Holdout(
            self.point[chosen],
            self.user[chosen],
            self.as_of_us[chosen],
            self.kind[chosen],
            self.label[chosen],
            self.ensemble[chosen],
            {name: p[chosen] for name, p in self.members.items()},
        )


def of_points(table: pa.Table, label: NDArray[np.int8], ensemble: Vector, members: Mapping[str, Vector]) -> Holdout:
    """The holdout of points whose probabilities are known.

    Args:
        table: user, session, product, kind and as_of_us of each point (n rows).
        label: outcomes (n,).
        ensemble: the vote (n,).
        members: each member's (n,).
    """
    return Holdout(
        point_hashes(table),
        user_hashes(table["user"]),
        table["as_of_us"].to_numpy().astype(np.int64),
        table["kind"].to_numpy().astype(np.int8),
        np.asarray(label, dtype=np.int8),
        ensemble,
        members,
    )


def point_hashes(table: pa.Table) -> NDArray[np.uint64]:
    """A hash (n,) of each point: its user, session, product, kind and as_of_us. The same in every process and log."""
    if not table.num_rows:
        return np.zeros(0, dtype=np.uint64)
    texts = [pc.cast(table[name], pa.string()).combine_chunks() for name in _KEY]
    return _hashes(pc.binary_join_element_wise(*texts, _BETWEEN))


def user_hashes(users: pa.ChunkedArray | pa.Array) -> NDArray[np.uint64]:
    """A hash (n,) of each user id; each user is hashed once."""
    if not len(users):
        return np.zeros(0, dtype=np.uint64)
    coded = pc.cast(users, pa.string()).dictionary_encode()
    whole = coded.unify_dictionaries().combine_chunks() if isinstance(coded, pa.ChunkedArray) else coded
    result: NDArray[np.uint64] = _hashes(whole.dictionary)[whole.indices.to_numpy()]
    return result


def write(path: Path, holdout: Holdout) -> None:
    """Write one row for each point and one column for each member."""
    columns = {name: pa.array(getattr(holdout, name), kind) for name, kind in _SCHEMA.items()}
    members = {name: pa.array(p, pa.float64()) for name, p in holdout.members.items()}
    pq.write_table(pa.table(columns | members), path, compression="zstd")


def read(path: Path) -> Holdout:
    """The holdout of a file.

    Raises:
        BundleError: it cannot be read, or lacks a column.
    """
    try:
        table = pq.read_table(path)
        columns = {name: table[name].cast(kind).to_numpy() for name, kind in _SCHEMA.items()}
        members = {name: table[name].to_numpy() for name in table.column_names if name not in _SCHEMA}
    except (OSError, pa.ArrowException, KeyError) as error:
        raise BundleError(f"{path} holds no probabilities of held-out points: {error}") from error
    return Holdout(**columns, members=members)


def _hashes(texts: pa.Array) -> NDArray[np.uint64]:
    digests = b"".join(hashlib.blake2b(text.encode(), digest_size=_HASH_BYTES).digest() for text in texts.to_pylist())
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64)
