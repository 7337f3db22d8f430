"""Exact interventional Shapley values of a sum of trees, for all background rows in one walk.

The game of one row x and one background row b: a coalition takes its features from x, the others from b.
Along the path to a leaf every feature is settled by both rows alike, by x alone (p of them) or by b
alone (q of them), so the leaf's value v is a conjunction game with the closed solution
+v (p-1)! q! / (p+q)! for each of the p features and -v p! (q-1)! / (p+q)! for each of the q.

Background rows that turn the same way travel together as the bits of a mask, so a tree is walked once for
all rows, not once per row: the same values as shap's C extension in a third (16 rows) to a seventh (64 rows) of
its time (`benchmarks/explanation.py`).

Compiled code below counts with unsigned integers where it indexes (a signed index costs a check for
negative ones, 30 % of the whole) and never mixes the two in arithmetic, which numba would turn to float.

References: Lundberg et al. (2020), From local explanations to global understanding with explainable AI
for trees, algorithm 3; Laberge & Pequignot (2022), Understanding interventional TreeSHAP.
"""

from math import comb
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.compiled import compiled
from common.trees import Index, Matrix, TreeTable, Vector

Mask = NDArray[np.uint64]

_MASK_BITS = 64
_BY_X, _BY_B = 1, 2  # who alone satisfies the path's conditions on a feature


class _Forest(NamedTuple):
    """A tree table as the walk wants it: what a step reads lies side by side."""

    roots: Index
    node: NDArray[np.int32]  # (nodes, 3): feature, left, right
    threshold: Vector
    value: Vector
    weight: Vector  # (p, q): (p-1)! q! / (p+q)!


class _Walk(NamedTuple):
    """What a walk writes on: the open ends it must come back to, and the features settled on the way."""

    open_node: Mask  # (2 · depth + 2,) where each open end goes on
    open_rows: Mask  # the background rows that go on there, as bits
    open_state: NDArray[np.int64]  # (…, 3): features settled above it, feature it settles or -1, by whom
    path: Mask  # (depth + 1,) the settled features, outermost first
    side: NDArray[np.int64]  # by whom, of each
    settled: NDArray[np.int64]  # (f,) by whom, of every feature; 0 where not
    counts: NDArray[np.int64]  # (3,) how many are settled by nobody (unused), x, b
    shares: Vector  # (3,) what a leaf gives to a feature settled by nobody (unused), x, b
    sums: Vector  # (8, 256) scales of the rows, summed for every value of each byte of a mask


class TreeShapley:
    """Shapley values of one member's margin against a fixed background, in log-odds."""

    def __init__(self, trees: TreeTable, background: Matrix) -> None:
        """Lay out the trees and find out which background rows go left at every node.

        Args:
            trees: the member's trees.
            background: float32 (b, f); the cost of a walk grows with every started 64 rows.

        Raises:
            ValueError: a tree asks for a feature that the background does not have, or there is no row.
        """
        background = np.ascontiguousarray(background, dtype=np.float32)
        if len(background) == 0 or trees.feature.max() >= background.shape[1]:
            raise ValueError(f"trees of {trees.feature.max() + 1} features, a background of shape {background.shape}")
        self._depth = trees.depth
        self._forest = _Forest(
            roots=trees.offsets[:-1].astype(np.int32),
            node=np.ascontiguousarray(np.column_stack([trees.feature, trees.left, trees.right]), dtype=np.int32),
            threshold=np.ascontiguousarray(trees.threshold, dtype=np.float64),
            value=np.ascontiguousarray(trees.value, dtype=np.float64),
            weight=_weights(self._depth + 1),
        )
        parts = [background[start : start + _MASK_BITS] for start in range(0, len(background), _MASK_BITS)]
        self._parts = [(len(part), _going_left(part, trees.feature, trees.threshold)) for part in parts]
        self.background_margins = self.margins(background)

    def margins(self, X: Matrix) -> Vector:
        """The sum of the leaves reached, float64 (n,), of vectors float32 (n, f); without the base margin."""
        total = np.zeros(len(X))
        _margins(np.ascontiguousarray(X, dtype=np.float32), self._forest, total)
        return total

    def contributions(self, X: Matrix, scale: Vector) -> Vector:
        """Per row the sum over the background of scale × Shapley values, float64 (n, f).

        Args:
            X: float32 (n, f).
            scale: (n, b), what one unit of margin counts between a row and a background row. 1/b
                gives the mean over the background: Shapley values of the margin.
        """
        X = np.ascontiguousarray(X, dtype=np.float32)
        values = np.zeros(X.shape)
        start = 0
        for size, lefts in self._parts:
            part = np.ascontiguousarray(scale[:, start : start + size])
            _explain(X, part, self._forest, lefts, self._walk(X.shape[1]), values)
            start += size
        return values

    def _walk(self, features: int) -> _Walk:
        ends = 2 * self._depth + 2
        return _Walk(
            open_node=np.zeros(ends, np.uint64),
            open_rows=np.zeros(ends, np.uint64),
            open_state=np.zeros((ends, 3), np.int64),
            path=np.zeros(self._depth + 1, np.uint64),
            side=np.zeros(self._depth + 1, np.int64),
            settled=np.zeros(features, np.int64),
            counts=np.zeros(3, np.int64),
            shares=np.zeros(3),
            sums=np.zeros((_MASK_BITS // 8, 256)),
        )


def _weights(most: int) -> Vector:
    """(p-1)! q! / (p+q)! for p, q in 0 .. most; 0 where p is 0."""
    return np.array(
        [[1.0 / (p * comb(p + q, p)) if p else 0.0 for q in range(most + 1)] for p in range(most + 1)], dtype=np.float64
    )


def _going_left(background: Matrix, feature: Index, threshold: Vector) -> Mask:
    """Per node the rows (up to 64) that go left there, as bits; 0 at leaves."""
    lefts = np.zeros(len(feature), np.uint64)
    for bit, row in enumerate(background):
        left = (feature >= 0) & (row[feature] <= threshold)
        lefts |= left.astype(np.uint64) << np.uint64(bit)
    return lefts


@compiled
def _margins(X: Any, forest: Any, total: Any) -> None:
    for root in forest.roots:  # outermost, so that a tree stays in the cache for all rows
        for i in range(len(X)):
            k: Any = np.uint64(root)
            while forest.node[k, 0] >= 0:
                left = X[i, np.uint64(forest.node[k, 0])] <= forest.threshold[k]
                k = np.uint64(forest.node[k, 1 if left else 2])
            total[i] += forest.value[k]


@compiled
def _explain(X: Any, scale: Any, forest: Any, lefts: Any, walk: Any, values: Any) -> None:
    """Add every row's contributions to `values` (n, f)."""
    everyone = np.uint64(0xFFFFFFFFFFFFFFFF) >> np.uint64(64 - scale.shape[1])
    n_bytes = (scale.shape[1] + 7) // 8
    for i in range(len(X)):
        _sum_scales(scale[i], n_bytes, walk.sums)
        for root in forest.roots:
            _explain_tree(X[i], root, everyone, n_bytes, forest, lefts, walk, values[i])


@compiled
def _sum_scales(scale: Any, n_bytes: int, sums: Any) -> None:
    """Sum any subset of 8 rows, so that a leaf adds up its rows with one look per byte of its mask."""
    for row in range(8 * n_bytes):
        high = 1 << (row % 8)
        own = scale[row] if row < len(scale) else 0.0
        for low in range(high):
            sums[row // 8, high + low] = sums[row // 8, low] + own


@compiled
def _explain_tree(
    x: Any, root: int, everyone: Any, n_bytes: int, forest: Any, lefts: Any, walk: Any, values: Any
) -> None:
    """Walk one tree with x and every background row, depth first, and add what each leaf gives."""
    k: Any = np.uint64(root)
    rows, depth, ends = everyone, 0, 0
    while True:
        k, rows, depth, ends = _descend(x, k, rows, depth, ends, forest, lefts, walk)
        if depth > 0:
            _add_leaf(k, rows, depth, n_bytes, forest, walk, values)
        ends -= 1
        above = walk.open_state[ends, 0] if ends >= 0 else 0
        while depth > above:
            depth -= 1
            walk.settled[walk.path[depth]] = 0
            walk.counts[walk.side[depth]] -= 1
        if ends < 0:
            return
        k, rows = walk.open_node[ends], walk.open_rows[ends]
        if walk.open_state[ends, 1] >= 0:
            depth = _settle(np.uint64(walk.open_state[ends, 1]), walk.open_state[ends, 2], depth, walk)


@compiled
def _descend(
    x: Any, k: Any, rows: Any, depth: int, ends: int, forest: Any, lefts: Any, walk: Any
) -> tuple[Any, Any, int, int]:
    """Follow x down to a leaf with the rows that turn as it does; where others turn off, an end stays open."""
    while forest.node[k, 0] >= 0:
        feature = np.uint64(forest.node[k, 0])
        if x[feature] <= forest.threshold[k]:
            with_x, against_x, same = np.uint64(forest.node[k, 1]), np.uint64(forest.node[k, 2]), lefts[k]
        else:
            with_x, against_x, same = np.uint64(forest.node[k, 2]), np.uint64(forest.node[k, 1]), ~lefts[k]
        side = walk.settled[feature]
        agreeing, turning = rows & same, rows & ~same
        k = with_x
        if side == _BY_X or turning == np.uint64(0):
            continue
        if side == _BY_B and agreeing == np.uint64(0):
            k = against_x
            continue
        ends = _leave_open(against_x, turning, depth, np.int64(feature) if side == 0 else -1, _BY_B, ends, walk)
        if side == 0 and agreeing == np.uint64(0):
            depth = _settle(feature, _BY_X, depth, walk)
            continue
        if side == 0:
            ends = _leave_open(with_x, turning, depth, np.int64(feature), _BY_X, ends, walk)
        rows = agreeing
    return k, rows, depth, ends


@compiled
def _leave_open(k: Any, rows: Any, depth: int, feature: int, side: int, ends: int, walk: Any) -> int:
    walk.open_node[ends] = k
    walk.open_rows[ends] = rows
    walk.open_state[ends, 0] = depth
    walk.open_state[ends, 1] = feature
    walk.open_state[ends, 2] = side
    return ends + 1


@compiled
def _settle(feature: Any, side: int, depth: int, walk: Any) -> int:
    walk.path[depth] = feature
    walk.side[depth] = side
    walk.settled[feature] = side
    walk.counts[side] += 1
    return depth + 1


@compiled
def _add_leaf(k: Any, rows: Any, depth: int, n_bytes: int, forest: Any, walk: Any, values: Any) -> None:
    """Give the leaf's value, times its rows' scales, to the features that x alone or b alone settles."""
    total = 0.0
    for byte in range(n_bytes):
        total += walk.sums[byte, rows & np.uint64(255)]
        rows >>= np.uint64(8)
    total *= forest.value[k]
    p, q = walk.counts[_BY_X], walk.counts[_BY_B]
    walk.shares[_BY_X], walk.shares[_BY_B] = total * forest.weight[p, q], -total * forest.weight[q, p]
    for d in range(depth):
        values[walk.path[d]] += walk.shares[walk.side[d]]
