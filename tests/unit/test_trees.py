"""The table of trees: what it holds is what was written, and a row goes left iff x <= threshold."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from common import trees, vectors
from common.errors import BundleError
from common.trees import TreeTable, stack
from tests.forests import leaf_sum, random_rows, random_table

STUMP = {
    "left": [1, -1, -1],
    "right": [2, -1, -1],
    "feature": [0, -1, -1],
    "threshold": [0.1, 0.0, 0.0],
    "value": [0.0, -1.0, 2.0],
    "cover": [10.0, 4.0, 6.0],
}
LEAF = {"left": [-1], "right": [-1], "feature": [-1], "threshold": [0.0], "value": [0.5], "cover": [10.0]}


def columns(table: TreeTable) -> dict[str, list[float]]:
    return {name: getattr(table, name).tolist() for name in TreeTable.__dataclass_fields__}


def test_reads_back_what_was_written_bit_for_bit(tmp_path: Path):
    rng = np.random.default_rng(0)
    members = {"xgboost": random_table(rng), "catboost": random_table(rng, trees=1), "leaf": stack([LEAF])}

    trees.write(tmp_path / trees.FILE, members)

    back = trees.read(tmp_path / trees.FILE)
    assert {name: columns(table) for name, table in back.items()} == {n: columns(t) for n, t in members.items()}


def test_the_file_has_the_columns_of_the_contract(tmp_path: Path):
    trees.write(tmp_path / trees.FILE, {"m": stack([STUMP, LEAF, STUMP])})

    rows = pq.read_table(tmp_path / trees.FILE).to_pylist()

    assert list(rows[0]) == ["member", "tree", "node", "left", "right", "feature", "threshold", "value", "cover"]
    assert [(row["tree"], row["node"], row["left"], row["right"], row["feature"]) for row in rows] == [
        (0, 0, 1, 2, 0),
        (0, 1, -1, -1, -1),
        (0, 2, -1, -1, -1),
        (1, 0, -1, -1, -1),
        (2, 0, 1, 2, 0),
        (2, 1, -1, -1, -1),
        (2, 2, -1, -1, -1),
    ]


def test_the_margin_is_the_sum_of_the_leaves_reached():
    rng = np.random.default_rng(1)
    table, X = random_table(rng, trees=7), random_rows(rng, 1_500)

    assert table.margin(X) == pytest.approx([leaf_sum(table, x) for x in X], abs=1e-12)


def test_a_row_on_the_threshold_goes_left_and_the_next_float32_goes_right():
    on = np.float32(0.1)  # above the float64 0.1
    below = np.nextafter(on, np.float32(0))
    exact = stack([{**STUMP, "threshold": [float(on), 0.0, 0.0]}])

    X = np.array([[below], [on], [np.nextafter(on, np.float32(1))]], dtype=np.float32)

    assert exact.margin(X).tolist() == [-1.0, -1.0, 2.0]
    assert stack([STUMP]).margin(X).tolist() == [-1.0, 2.0, 2.0]


def test_no_rows_have_no_margins():
    assert stack([STUMP]).margin(np.zeros((0, 1), np.float32)).shape == (0,)


def test_depth_counts_the_splits_of_the_longest_path():
    assert stack([LEAF]).depth == 0
    assert stack([LEAF, STUMP]).depth == 1
    assert random_table(np.random.default_rng(2), trees=30, depth=4).depth == 4


@pytest.mark.parametrize(
    "broken",
    [
        {**STUMP, "left": [0, -1, -1]},  # its own parent: a walk would never end
        {**STUMP, "left": [2, -1, -1]},  # two parents
        {**STUMP, "left": [3, -1, -1]},  # the next tree's root
        {**STUMP, "right": [-1, -1, -1]},  # half a split
    ],
)
def test_refuses_nodes_that_do_not_form_trees(broken: dict[str, list[float]]):
    with pytest.raises(ValueError, match="outside of its tree, or two parents"):
        stack([broken, LEAF])


def test_a_file_that_is_missing_or_not_parquet_is_refused(tmp_path: Path):
    (tmp_path / "text.parquet").write_text("no trees")

    for name in ("absent.parquet", "text.parquet"):
        with pytest.raises(BundleError, match=name):
            trees.read(tmp_path / name)


def test_a_file_without_a_column_or_with_rows_out_of_order_is_refused(tmp_path: Path):
    path = tmp_path / trees.FILE
    trees.write(path, {"m": stack([STUMP, LEAF])})
    whole = pq.read_table(path)

    for wrong in (whole.drop_columns(["threshold"]), whole.take(pa.array([3, 0, 1, 2]))):
        pq.write_table(wrong, path)
        with pytest.raises(BundleError, match="does not hold the members' trees"):
            trees.read(path)


def test_vectors_come_back_bit_for_bit_in_the_order_asked_for(tmp_path: Path):
    X = np.array([[0.1, -1e-38, 3e38], [np.float32(1) / 3, 0.0, -0.0]], dtype=np.float32)

    vectors.write(tmp_path / "x.parquet", X, ["a", "b", "c"])

    assert vectors.read(tmp_path / "x.parquet", ["a", "b", "c"]).tobytes() == X.tobytes()
    assert vectors.read(tmp_path / "x.parquet", ["c", "a"]).tobytes() == X[:, [2, 0]].tobytes()


def test_a_file_without_one_of_the_features_is_refused(tmp_path: Path):
    vectors.write(tmp_path / "x.parquet", np.zeros((2, 1), np.float32), ["a"])

    with pytest.raises(BundleError, match=r"x\.parquet does not hold vectors of these features"):
        vectors.read(tmp_path / "x.parquet", ["a", "b"])
