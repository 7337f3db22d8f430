"""Examples on disk: any rows come back as they were written, in one order."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from common.feature_specs import WIDTH
from training import example_store
from training.example_store import SCHEMA, ExampleStore, block_path, write_block
from training.folds import StoredFold

ROWS = (7, 0, 12, 5)


@pytest.fixture
def X() -> np.ndarray:  # noqa: N802 - a matrix
    return np.random.default_rng(3).normal(size=(sum(ROWS), WIDTH)).astype(np.float32)


@pytest.fixture
def store(tmp_path: Path, X: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> ExampleStore:
    """Blocks of some rows in row groups of four."""
    monkeypatch.setattr(example_store, "GROUP_ROWS", 4)
    (tmp_path / "blocks").mkdir()
    first = 0
    for number, size in enumerate(ROWS):
        write_block(block_path(tmp_path, number), block(X[first : first + size], first))
        first += size
    return ExampleStore(tmp_path, "one", ROWS)


def block(X: np.ndarray, first: int) -> pa.Table:
    """Rows of the schema at consecutive microseconds."""
    size = len(X)
    texts = {name: [f"{name}-{first + at}" for at in range(size)] for name in ("session", "product", "category")}
    columns = texts | {
        "user": ["ann"] * size,
        "as_of_us": range(first, first + size),
        "kind": [0] * size,
        "brand": ["acme"] * size,
        "price": [1.5] * size,
        "label": [0] * size,
        "user_hash": [2**64 - 1] * size,
        "x": [row.tobytes() for row in X],
    }
    return pa.table([pa.array(columns[field.name], field.type) for field in SCHEMA], schema=SCHEMA)


@pytest.mark.parametrize(
    "rows",
    [
        slice(None),
        slice(5, 9),
        slice(3, 3),
        slice(20, 99),
        np.array([0, 6, 7, 18, 19, 23]),
        np.arange(24),
        np.array([], np.int64),
    ],
)
def test_any_rows_come_back_as_they_were_written(store, X, rows):
    assert np.array_equal(store.x(rows), X[rows])
    assert store.x(rows).flags.c_contiguous
    assert store.table(["as_of_us"], rows)["as_of_us"].to_pylist() == np.arange(len(X))[rows].tolist()


def test_vectors_keep_every_bit(store, X):
    odd = X.copy()
    odd[0, :4] = [np.nan, -0.0, np.inf, np.float32(1e-45)]
    write_block(block_path(store.path, 0), block(odd[:7], 0))

    assert store.x(slice(0, 7)).tobytes() == odd[:7].tobytes()


def test_only_the_row_groups_that_hold_the_rows_are_read(store, monkeypatch):
    read = []
    whole = example_store.pq.ParquetFile.read_row_group
    monkeypatch.setattr(
        example_store.pq.ParquetFile,
        "read_row_group",
        lambda self, group, **options: (read.append(group), whole(self, group, **options))[1],
    )

    store.x(np.array([8, 15]))

    assert read == [0, 2]


def test_rows_of_one_instant_are_ordered_by_content(tmp_path, X):
    rows = block(X[:6], 0).set_column(SCHEMA.get_field_index("as_of_us"), "as_of_us", pa.array([5, 5, 5, 4, 4, 5]))
    (tmp_path / "blocks").mkdir()
    store = ExampleStore(tmp_path, "one", (6,))
    seen = []
    for order in ([0, 1, 2, 3, 4, 5], [5, 3, 1, 0, 2, 4]):
        write_block(block_path(tmp_path, 0), rows.take(pa.array(order)))
        seen.append(store.table(["as_of_us", "session"], slice(None)).to_pylist())

    assert seen[0] == seen[1]
    assert [row["as_of_us"] for row in seen[0]] == [4, 4, 5, 5, 5, 5]


def test_a_fold_is_known_by_its_store_its_rows_and_its_weights(store):
    other = ExampleStore(store.path, "two", ROWS)
    weight = np.ones(5)
    folds = [
        StoredFold(store, slice(0, 5), slice(5, 9)),
        StoredFold(store, slice(0, 5), slice(5, 10)),
        StoredFold(store, slice(0, 5), slice(5, 9), weight),
        StoredFold(store, slice(0, 5), slice(5, 9), 2.0 * weight),
        StoredFold(store, np.arange(5), slice(5, 9)),
        StoredFold(other, slice(0, 5), slice(5, 9)),
    ]

    assert len({fold.identity for fold in folds}) == len(folds)
    assert folds[0].identity == StoredFold(store, slice(None, 5), slice(5, 9)).identity
