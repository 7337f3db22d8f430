"""Rows sorted by user bucket: nothing is lost, nobody is split, and buckets never move."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from common.eventlog import CANONICAL
from common.partition import BUCKETS, Partition, buckets_of, gathered, ranges_of, read_range, write_partition
from tests.logs import canonical, simulated_users


def users(*names: str) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(names, pa.string())])


def rows_of(table: pa.Table) -> list[tuple[object, ...]]:
    return sorted(tuple(row.values()) for row in table.select(CANONICAL.names).to_pylist())


def written(events: pa.Table, directory: Path) -> Partition:
    return write_partition(events, buckets_of(events["user"]), directory)


def test_a_user_has_the_same_bucket_in_every_process():
    code = (
        "import pyarrow as pa; from common.partition import buckets_of; "
        "print(buckets_of(pa.chunked_array([['ann', 'bob']])).tolist())"
    )

    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert other.stdout.strip() == str(buckets_of(users("ann", "bob")).tolist()) == "[627, 320]"


def test_users_spread_evenly():
    counts = np.bincount(buckets_of(users(*(f"user-{i}" for i in range(40_960)))), minlength=BUCKETS)

    # 10 expected in each: buckets drawn by chance would have a variance of 10
    assert counts.var() < 11.0


def test_every_row_comes_back_in_exactly_one_range(tmp_path):
    table = canonical(simulated_users(4)).select(CANONICAL.names).cast(CANONICAL)
    files = [written(table.slice(at, 100), tmp_path) for at in range(0, table.num_rows, 100)]
    sizes = sum(file.sizes for file in files)
    paths = [file.path for file in files]

    shares = [read_range(paths, share.low, share.high, CANONICAL) for share in ranges_of(sizes, 50)]

    assert len(shares) > 5
    assert sorted(row for share in shares for row in rows_of(share)) == rows_of(table)
    names = [set(share["user"].to_pylist()) for share in shares]
    assert sum(map(len, names)) == len(set.union(*names)), "a user is in two ranges"


def test_a_range_without_rows_is_an_empty_table(tmp_path):
    file = written(canonical(simulated_users(4)).select(CANONICAL.names), tmp_path)
    (gap,) = np.flatnonzero(file.sizes == 0)[:1]

    assert read_range([file.path], int(gap), int(gap) + 1, CANONICAL).schema == CANONICAL
    assert read_range([], 0, BUCKETS, CANONICAL).num_rows == 0


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.integers(0, BUCKETS - 1), st.integers(1, 500), max_size=40), st.integers(1, 600))
def test_ranges_cover_all_rows_without_overlap_and_none_is_too_big(sizes_of, rows):
    sizes = np.zeros(BUCKETS, np.int64)
    sizes[list(sizes_of)] = list(sizes_of.values())

    ranges = ranges_of(sizes, rows)

    covered = [bucket for share in ranges for bucket in range(share.low, share.high)]
    assert len(covered) == len(set(covered))
    assert sizes[covered].sum() == sizes.sum()
    assert [share.number for share in ranges] == list(range(len(ranges)))
    for share in ranges:
        held = sizes[share.low : share.high]
        assert 0 < held.sum() <= rows or np.count_nonzero(held) == 1


def test_tables_are_gathered_until_they_are_worth_a_file():
    table = canonical(simulated_users(4))
    pieces = [table.slice(at, 30) for at in range(0, table.num_rows, 30)]

    gathered_tables = list(gathered(iter(pieces), rows=100))

    assert pa.concat_tables(gathered_tables).equals(table)
    assert all(120 >= piece.num_rows >= 100 for piece in gathered_tables[:-1])
    assert list(gathered(iter([table.slice(0, 0)]))) == []
