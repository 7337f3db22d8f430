"""The members' trees as one table: what explanations are computed from.

`trees.parquet` has one row per node with the columns member (string), tree and node (int32, from 0),
left and right (int32 node of the same tree, -1 at leaves), feature (int32, -1 at leaves), threshold,
value and cover (float64). A vector goes left iff x <= threshold, x being float32. A member's margin
in log-odds is its base margin plus the value of the leaf reached in each tree.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from common.errors import BundleError

Matrix = NDArray[np.float32]
Vector = NDArray[np.float64]
Index = NDArray[np.int32]

FILE = "trees.parquet"

_SCHEMA = pa.schema(
    [
        ("member", pa.string()),
        ("tree", pa.int32()),
        ("node", pa.int32()),
        ("left", pa.int32()),
        ("right", pa.int32()),
        ("feature", pa.int32()),
        ("threshold", pa.float64()),
        ("value", pa.float64()),
        ("cover", pa.float64()),
    ]
)
_NODE_COLUMNS = ("left", "right", "feature", "threshold", "value", "cover")
_ROWS_AT_ONCE = 1_024  # rows × trees of node positions stay within a few MB


@dataclass(frozen=True, eq=False)
class TreeTable:
    """The trees of one member, one after the other; a tree's root is its first node.

    Tree t has the nodes offsets[t] .. offsets[t + 1]. `left` and `right` are positions in these arrays,
    so they can be followed without knowing the tree.
    """

    offsets: Index
    left: Index
    right: Index
    feature: Index
    threshold: Vector
    value: Vector
    cover: Vector

    def __post_init__(self) -> None:
        """Refuse what is not a forest: whoever walks these arrays relies on reaching a leaf.

        Raises:
            ValueError: lengths differ, or a child lies outside of its tree or has two parents.
        """
        columns = (self.left, self.right, self.feature, self.threshold, self.value, self.cover)
        if len(self.offsets) < 2 or any(len(column) != self.offsets[-1] for column in columns):
            raise ValueError("the columns of a tree table differ in length, or there is no tree")
        inner = np.flatnonzero(self.feature >= 0)
        tree = np.tile(np.repeat(np.arange(self.n_trees), np.diff(self.offsets))[inner], 2)
        children = np.concatenate([self.left[inner], self.right[inner]])
        inside = (children > self.offsets[tree]) & (children < self.offsets[tree + 1])
        if not inside.all() or len(np.unique(children)) != len(children):
            raise ValueError("a node of a tree table has a child outside of its tree, or two parents")

    @property
    def n_trees(self) -> int:
        """How many trees there are."""
        return len(self.offsets) - 1

    @property
    def depth(self) -> int:
        """The number of splits on the longest path from a root to a leaf."""
        nodes, depth = self.offsets[:-1], 0
        while (inner := nodes[self.feature[nodes] >= 0]).size:
            nodes, depth = np.concatenate([self.left[inner], self.right[inner]]), depth + 1
        return depth

    def margin(self, X: Matrix) -> Vector:
        """The sum of the leaves reached, float64 (n,), of vectors float32 (n, f); without the base margin.

        The reference that faster evaluations are tested against: 0.1 ms a row for 300 trees of depth 6.
        """
        X = np.asarray(X, dtype=np.float32)
        parts = [self._margin(X[start : start + _ROWS_AT_ONCE]) for start in range(0, len(X), _ROWS_AT_ONCE)]
        return np.concatenate(parts) if parts else np.zeros(0)

    def _margin(self, X: Matrix) -> Vector:
        at = np.tile(self.offsets[:-1], (len(X), 1))
        rows = np.arange(len(X))[:, None]
        while ((feature := self.feature[at]) >= 0).any():
            below = np.where(X[rows, feature] <= self.threshold[at], self.left[at], self.right[at])
            at = np.where(feature >= 0, below, at)
        total: Vector = self.value[at].sum(axis=1)
        return total


def stack(trees: Sequence[Mapping[str, Any]]) -> TreeTable:
    """One table of single trees, each given as columns whose left and right count from that tree's own root."""
    columns = {name: np.concatenate([np.asarray(tree[name]) for tree in trees]) for name in _NODE_COLUMNS}
    return _table(np.array([len(tree["feature"]) for tree in trees]), columns)


def write(path: Path, members: Mapping[str, TreeTable]) -> None:
    """Write the trees of all members as `trees.parquet`."""
    batches = [_batch(name, table) for name, table in members.items()]
    pq.write_table(pa.Table.from_batches(batches, schema=_SCHEMA), path, compression="zstd")


def read(path: Path) -> dict[str, TreeTable]:
    """The trees of each member, as `write` was given them.

    Raises:
        BundleError: the file cannot be read, lacks a column, or does not hold trees.
    """
    try:
        table = pq.read_table(path).select(_SCHEMA.names).cast(_SCHEMA)
        return {
            name: _member(table.filter(pc.field("member") == name)) for name in table["member"].unique().to_pylist()
        }
    except (OSError, pa.ArrowException, KeyError, ValueError) as error:
        raise BundleError(f"{path} does not hold the members' trees: {error}") from error


def _batch(name: str, table: TreeTable) -> Any:
    sizes = np.diff(table.offsets)
    start = np.repeat(table.offsets[:-1], sizes)
    leaf = table.feature < 0
    columns = {
        "member": np.full(len(leaf), name),
        "tree": np.repeat(np.arange(table.n_trees), sizes),
        "node": np.arange(len(leaf)) - start,
        "left": np.where(leaf, -1, table.left - start),
        "right": np.where(leaf, -1, table.right - start),
        "feature": table.feature,
        "threshold": table.threshold,
        "value": table.value,
        "cover": table.cover,
    }
    return pa.RecordBatch.from_arrays([pa.array(columns[field.name], field.type) for field in _SCHEMA], schema=_SCHEMA)


def _member(rows: Any) -> TreeTable:
    columns = {name: rows[name].to_numpy() for name in ("tree", "node", *_NODE_COLUMNS)}
    sizes = np.bincount(columns["tree"])
    start = np.repeat(np.cumsum(sizes) - sizes, sizes)
    if (np.diff(columns["tree"]) < 0).any() or (columns["node"] != np.arange(len(start)) - start).any():
        raise ValueError("its rows are not in the order of trees and nodes")
    return _table(sizes, columns)


def _table(sizes: NDArray[np.int64], columns: Mapping[str, NDArray[Any]]) -> TreeTable:
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    start = np.repeat(offsets[:-1], sizes)
    leaf = columns["feature"] < 0
    return TreeTable(
        offsets=offsets.astype(np.int32),
        left=np.where(leaf, -1, columns["left"] + start).astype(np.int32),
        right=np.where(leaf, -1, columns["right"] + start).astype(np.int32),
        feature=columns["feature"].astype(np.int32),
        threshold=np.where(leaf, 0.0, columns["threshold"]).astype(np.float64),
        value=np.where(leaf, columns["value"], 0.0).astype(np.float64),
        cover=columns["cover"].astype(np.float64),
    )
