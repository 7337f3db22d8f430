"""What an explanation costs: the walk over masks beside shap's own C extension, by size of the background.

Both split the same trees of the same bundle, one thread, and must agree. Without a champion at hand:

    python -m benchmarks.explanation --bundle DIRECTORY
"""

import argparse
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import shap
from rich.console import Console
from rich.table import Table

from common import trees, vectors
from common.bundle import Bundle, MemberEntry, open_bundle
from common.ensemble import renormalised
from common.explanation import ShapExplainer
from common.feature_specs import SCHEMA_HASH
from common.trees import Matrix, TreeTable, Vector
from deployments.explanation import LimeExplainer
from deployments.registry import find_bundle
from deployments.settings import load_settings
from training.explanation import background

SIZES = (16, 32, 64)  # shap takes a sample where there are more than 100
BATCH_ROWS = 32
AGREE = 1e-6


def run(seconds: float, bundle: Bundle | None = None) -> None:
    """Print CPU milliseconds per explained row of the champion: ours, shap's, and LIME's for comparison."""
    started = time.perf_counter()
    found = bundle or open_bundle(
        find_bundle(load_settings(), version=None, alias=None).path, feature_schema=SCHEMA_HASH
    )
    explainer = ShapExplainer.from_bundle(found)
    explainer.explain(np.zeros((1, len(found.manifest.features)), np.float32), found.manifest.weights)
    console, tables = Console(), trees.read(found.file(trees.FILE))
    console.print(f"loaded and warm after {time.perf_counter() - started:.1f} s; {_shape(tables)}")
    rows = vectors.read(found.file(vectors.REFERENCE_FILE), found.manifest.features)
    console.print(_by_background(found, tables, explainer.probability(rows, found.manifest.weights), rows, seconds))
    lime = LimeExplainer.from_bundle(found)
    local = [lime.explain(row, found.manifest.weights) for row in rows[:10]]
    spent_ms = _ms_per_call(lambda: lime.explain(rows[0], found.manifest.weights), seconds)
    console.print(f"LIME: {spent_ms:.0f} ms per row, mean r2 {np.mean([one.r2 for one in local]):.2f}")


def _by_background(found: Bundle, tables: dict[str, TreeTable], p: Vector, rows: Matrix, seconds: float) -> Table:
    manifest, share_s = found.manifest, seconds / len(SIZES) / 3
    bases = {entry.name: entry.base_margin for entry in manifest.members}
    report = Table("background", "ours, alone", f"ours, {BATCH_ROWS} at once", "shap, alone", "times", "difference")
    for size in SIZES:
        ground = background(rows, p, size=size, seed=0)
        ours = ShapExplainer(tables, bases, manifest.calibrations, ground)
        peer = _Peer(manifest.members, tables, ground)
        apart = np.abs(ours.explain(rows[:5], manifest.weights).contributions - peer.explain(rows[:5])).max()
        assert apart < AGREE, f"shap and the walk differ by {apart}"
        split = partial(ours.explain, weights=manifest.weights)
        alone = _ms_per_call(_one_by_one(split, rows), share_s)
        batch = _ms_per_call(partial(split, rows[:BATCH_ROWS]), share_s) / BATCH_ROWS
        theirs = _ms_per_call(_one_by_one(peer.explain, rows), share_s)
        report.add_row(
            str(size), f"{alone:.2f} ms", f"{batch:.2f} ms", f"{theirs:.2f} ms", f"{theirs / alone:.1f}", f"{apart:.0e}"
        )
    return report


class _Peer:
    """shap's TreeExplainer, one per member that weighs anything, over the same trees with the calibration baked in."""

    def __init__(self, members: list[MemberEntry], tables: dict[str, TreeTable], ground: Matrix) -> None:
        shares = renormalised({entry.name: entry.weight for entry in members}, tables)
        self._parts = [
            (shares[entry.name], _tree_explainer(entry, tables[entry.name], ground))
            for entry in members
            if shares[entry.name] > 0.0
        ]

    def explain(self, X: Matrix) -> Vector:
        parts = [share * part.shap_values(X, check_additivity=False) for share, part in self._parts]
        total: Vector = np.sum(parts, axis=0)
        return total


def _tree_explainer(entry: MemberEntry, table: TreeTable, ground: Matrix) -> Any:
    slope, intercept = entry.calibration.slope, entry.calibration.intercept
    model = {
        "trees": [_shap_tree(table, t, slope) for t in range(table.n_trees)],
        "base_offset": slope * entry.base_margin + intercept,
        "objective": "binary_crossentropy",
        "tree_output": "log_odds",
    }
    settings = {"feature_perturbation": "interventional", "model_output": "probability"}
    return shap.TreeExplainer(model, ground.astype(np.float64), **settings)


def _shap_tree(table: TreeTable, t: int, slope: float) -> dict[str, Any]:
    first, end = table.offsets[t], table.offsets[t + 1]
    leaf = table.feature[first:end] < 0
    left = np.where(leaf, -1, table.left[first:end] - first)
    return {
        "children_left": left,
        "children_right": np.where(leaf, -1, table.right[first:end] - first),
        "children_default": left,
        "features": table.feature[first:end],
        "thresholds": table.threshold[first:end],
        "values": slope * table.value[first:end, np.newaxis],
        "node_sample_weight": table.cover[first:end],
    }


def _one_by_one(explain: Callable[[Matrix], Any], rows: Matrix) -> Callable[[], Any]:
    """A call that explains another row each time, as requests do."""
    at = 0

    def call() -> Any:
        nonlocal at
        at = (at + 1) % len(rows)
        return explain(rows[[at]])

    return call


def _ms_per_call(call: Callable[[], Any], seconds: float) -> float:
    """The median CPU time, which other processes on the machine move least."""
    call()
    spent: list[float] = []
    until = time.perf_counter() + seconds
    while time.perf_counter() < until or len(spent) < 5:
        started = time.process_time()
        call()
        spent.append(time.process_time() - started)
    return 1_000 * float(np.median(spent))


def _shape(tables: dict[str, TreeTable]) -> str:
    return ", ".join(f"{name} {table.n_trees} trees of depth ≤ {table.depth}" for name, table in tables.items())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.explanation", description=__doc__)
    parser.add_argument("--bundle", type=Path, help="a bundle's directory (default: the champion)")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of the measurement (default: 10)")
    options = parser.parse_args(sys.argv[1:])
    given = None if options.bundle is None else open_bundle(options.bundle, feature_schema=SCHEMA_HASH)
    run(options.seconds, given)
