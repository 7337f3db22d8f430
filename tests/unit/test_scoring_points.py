"""Files of points: every row is either a point or rejected with a reason."""

import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from common.errors import InputError
from deployments.scoring import points as point_files
from deployments.scoring.output import REJECTED
from deployments.scoring.points import POINTS, check, plan_points, read_points

HEADER = "user_id,user_session,product_id,as_of"
ROW = "ann,s-1,mug,2016-08-01 12:00:00 UTC"
NOON_US = 1_470_052_800_000_000


def read(path: Path) -> tuple[list[dict], list[dict]]:
    """The points and the rejected rows of a file."""
    checked = [block for part in plan_points(path) for block in read_points(part)]
    return (
        [row for block in checked for row in block.points.to_pylist()],
        [row for block in checked for row in block.rejected.to_pylist()],
    )


def written(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


def test_reads_csv_with_ids_as_text(tmp_path):
    path = written(tmp_path / "p.csv", HEADER, "007,0x1F,1e5,2016-08-01 12:00:00", ROW)

    points, rejected = read(path)

    assert [(row["user"], row["session"], row["product"]) for row in points] == [
        ("007", "0x1F", "1e5"),
        ("ann", "s-1", "mug"),
    ]
    assert {row["as_of_us"] for row in points} == {NOON_US}
    assert {row[name] for row in points for name in ("kind", "price", "category", "brand")} == {None}
    assert rejected == []


def test_reads_gzip_and_directories(tmp_path):
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(f"{HEADER}\n{ROW}\n".encode()))
    written(tmp_path / "b.csv", HEADER, ROW, ROW)
    (tmp_path / "notes.txt").write_text("no points")

    points, _ = read(tmp_path)

    assert len(points) == 3


def test_integers_and_timestamps_of_parquet_are_read_as_they_are(tmp_path):
    moment = pa.array([NOON_US * 1000], pa.timestamp("ns", tz="Europe/Berlin"))
    table = pa.table({"user_id": [541312140], "user_session": ["s-1"], "product_id": [5.0], "as_of": moment, "x": [1]})
    pq.write_table(table, tmp_path / "p.parquet")

    points, _ = read(tmp_path / "p.parquet")

    assert [(row["user"], row["product"], row["as_of_us"]) for row in points] == [("541312140", "5", NOON_US)]


def test_integers_that_became_floats_in_csv_are_integers_again(tmp_path):
    points, _ = read(written(tmp_path / "p.csv", HEADER, "541312140.0,v1.0,5.0,2016-08-01 12:00:00"))

    assert (points[0]["user"], points[0]["session"], points[0]["product"]) == ("541312140", "v1.0", "5")


def test_own_columns_are_read_where_they_are_good(tmp_path):
    path = written(
        tmp_path / "p.csv",
        f"{HEADER},price,category_code,brand,kind",
        f"{ROW},9.5,kitchen,acme,cart",
        f"{ROW},-3,,,purchase",
    )

    first, second = read(path)[0]

    assert (first["price"], first["category"], first["brand"], first["kind"]) == (9.5, "kitchen", "acme", 1)
    assert (second["price"], second["category"], second["brand"], second["kind"]) == (None, None, None, None)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (",s-1,mug,2016-08-01 12:00:00", "bad_user_id"),
        ("a b,s-1,mug,2016-08-01 12:00:00", "bad_user_id"),
        ("ann,,mug,2016-08-01 12:00:00", "bad_session_id"),
        ("ann,s-1,mug/cup,2016-08-01 12:00:00", "bad_product_id"),
        ("ann,s-1,mug,yesterday", "bad_time"),
        ("ann,s-1,mug,", "bad_time"),
        ("ann,s-1,mug,1969-12-31 23:59:59", "bad_time"),
        (",,,", "bad_user_id"),
    ],
)
def test_what_cannot_be_asked_is_rejected_with_its_reason_and_its_text(tmp_path, row, reason):
    points, rejected = read(written(tmp_path / "p.csv", HEADER, ROW, row))

    assert len(points) == 1
    assert [one["reason"] for one in rejected] == [reason]
    texts = [rejected[0][name] or "" for name in ("user_id", "user_session", "product_id", "as_of")]
    assert ",".join(texts) == row


def test_a_line_that_is_no_row_is_rejected_whole(tmp_path):
    points, rejected = read(written(tmp_path / "p.csv", HEADER, ROW, "ann,s-1", ROW))

    assert len(points) == 2
    assert [(row["reason"], row["line"]) for row in rejected] == [("bad_row", "ann,s-1")]


def test_text_that_is_not_utf8_is_no_id(tmp_path):
    table = pa.table(
        {
            "user_id": pa.array([b"ann", b"a\xff"]),
            "user_session": ["s"] * 2,
            "product_id": ["m"] * 2,
            "as_of": ["2016-08-01 12:00:00"] * 2,
        }
    )
    pq.write_table(table, tmp_path / "p.parquet")

    points, rejected = read(tmp_path / "p.parquet")

    assert ([row["user"] for row in points], [row["reason"] for row in rejected]) == (["ann"], ["bad_user_id"])


def test_blocks_have_the_stated_schemas_whatever_the_columns():
    empty = check(pa.table({name: pa.array([], pa.int64()) for name in point_files.REQUIRED}))
    strange = check(pa.table({name: pa.array([[1], None]) for name in point_files.COLUMNS}))

    assert (empty.points.schema, empty.rejected.schema) == (POINTS, REJECTED)
    assert (strange.points.num_rows, strange.rejected.num_rows) == (0, 2)


def test_row_groups_are_shared_among_tasks(tmp_path, monkeypatch):
    monkeypatch.setattr(point_files, "PART_ROWS", 10)
    rows = {"user_id": [f"u{i}" for i in range(35)], "user_session": ["s"] * 35, "product_id": ["m"] * 35}
    pq.write_table(pa.table(rows | {"as_of": ["2016-08-01 12:00:00"] * 35}), tmp_path / "p.parquet", row_group_size=7)

    parts = plan_points(tmp_path / "p.parquet")

    assert [(part.first_group, part.groups) for part in parts] == [(0, 2), (2, 2), (4, 1)]
    assert [row["user"] for row in read(tmp_path / "p.parquet")[0]] == rows["user_id"]


def test_refuses_what_is_no_file_of_points(tmp_path):
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 nothing PAR1")
    (tmp_path / "directory").mkdir()
    written(tmp_path / "header.csv", HEADER)
    written(tmp_path / "columns.csv", "user_id,as_of", "ann,2016-08-01 12:00:00")
    refusals = {
        "missing.csv": "no points at",
        "empty.csv": "cannot read",
        "broken.parquet": "cannot read",
        "directory": "holds no points",
        "header.csv": "has no points",
        "columns.csv": "lacks the columns user_session, product_id",
    }

    for name, message in refusals.items():
        with pytest.raises(InputError, match=message):
            plan_points(tmp_path / name)
    (tmp_path / "p.txt").write_text("")
    with pytest.raises(InputError, match="holds no points"):
        plan_points(tmp_path / "p.txt")
