"""What a recipe said about points it had not learned: hashes that mean the same in every log, and a lossless file."""

import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from common.errors import BundleError
from common.holdout import FILE, Holdout, of_points, point_hashes, read, user_hashes, write


def points(*rows: tuple[str, str, str, int, int]) -> pa.Table:
    names = ("user", "session", "product", "kind", "as_of_us")
    types = (pa.string(), pa.string(), pa.string(), pa.int8(), pa.int64())
    columns = [list(column) for column in zip(*rows, strict=True)] if rows else [[]] * len(names)
    return pa.table({name: pa.array(c, t) for name, c, t in zip(names, columns, types, strict=True)})


FIVE = points(
    ("u1", "s1", "p1", 0, 1_000),
    ("u1", "s1", "p1", 1, 1_000),
    ("u1", "s1", "p1", 0, 1_001),
    ("u2", "s1", "p1", 0, 1_000),
    ("u1", "s11", "1", 0, 1_000),
)


def a_holdout() -> Holdout:
    rng = np.random.default_rng(0)
    p = {"catboost": rng.random(5), "random_forest": rng.random(5)}
    return of_points(FIVE, np.array([0, 1, 0, 1, 0], np.int8), rng.random(5), p)


def test_points_that_differ_in_anything_have_different_hashes():
    assert len(set(point_hashes(FIVE).tolist())) == 5


def test_the_hash_of_a_point_is_that_of_its_text_and_does_not_depend_on_its_table():
    text = "\x1f".join(("u2", "s1", "p1", "0", "1000"))
    expected = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")
    assert point_hashes(FIVE)[3] == point_hashes(FIVE.slice(3, 1))[0] == expected
    chunked = pa.concat_tables([FIVE.slice(0, 2), FIVE.slice(2)])
    assert point_hashes(chunked).tolist() == point_hashes(FIVE).tolist()


def test_rows_of_one_user_share_a_hash_in_any_table():
    chunked = pa.concat_tables([FIVE.slice(0, 3), FIVE.slice(3)])
    of_users = user_hashes(chunked["user"])
    assert of_users.dtype == np.uint64
    assert of_users.tolist() == user_hashes(FIVE["user"]).tolist()
    assert len(set(of_users.tolist())) == 2
    assert of_users[0] == of_users[4] != of_users[3]


def test_a_file_gives_back_every_bit(tmp_path):
    holdout = a_holdout()
    write(tmp_path / FILE, holdout)
    found = read(tmp_path / FILE)
    for name in ("point", "user", "as_of_us", "kind", "label", "ensemble"):
        written, returned = getattr(holdout, name), getattr(found, name)
        assert (written.dtype, written.tobytes()) == (returned.dtype, returned.tobytes())
    assert list(found.members) == ["catboost", "random_forest"]
    for name, p in holdout.members.items():
        assert found.members[name].tobytes() == p.tobytes()


def test_no_points_are_a_file_too(tmp_path):
    empty = of_points(points(), np.zeros(0, np.int8), np.zeros(0), {"catboost": np.zeros(0)})
    write(tmp_path / FILE, empty)
    assert len(read(tmp_path / FILE)) == 0


def test_chosen_rows_keep_their_members():
    chosen = a_holdout().rows(np.array([True, False, False, True, False]))
    assert chosen.as_of_us.tolist() == [1_000, 1_000]
    assert chosen.members["catboost"].tolist() == a_holdout().members["catboost"][[0, 3]].tolist()


@pytest.mark.parametrize("content", [b"", b"no Parquet"])
def test_a_file_that_is_none_is_refused(tmp_path, content):
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(BundleError, match="holds no probabilities"):
        read(tmp_path / FILE)


def test_a_file_without_a_column_is_refused(tmp_path):
    write(tmp_path / FILE, a_holdout())
    pq.write_table(pq.read_table(tmp_path / FILE).drop_columns(["label"]), tmp_path / FILE)
    with pytest.raises(BundleError, match="label"):
        read(tmp_path / FILE)
