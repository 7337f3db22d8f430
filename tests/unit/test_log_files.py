"""Which files a log is made of, and what happens when they are none."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common import log_files
from common.errors import EventLogError
from common.eventlog import CHECKED, kept
from common.log_files import Part, find_files, plan_parts, read_parts

ROW = {
    "event_time": "2019-10-01T00:00:00Z",
    "event_type": "view",
    "product_id": 1,
    "price": 2.5,
    "user_id": 7,
    "user_session": "s-1",
}


def log(rows: int) -> pa.Table:
    """That many events of products 0, 1, 2 and so on."""
    return pa.Table.from_pylist([ROW | {"product_id": product} for product in range(rows)] or [ROW]).slice(0, rows)


def write(path: Path, rows: int = 3, **options) -> Path:
    """A Parquet log of some rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(log(rows), path, **options)
    return path


def write_csv(path: Path) -> Path:
    """A CSV log of one row."""
    path.write_text(",".join(ROW) + "\n" + ",".join(map(str, ROW.values())) + "\n")
    return path


def read(parts: list[Part]) -> pa.Table:
    """The rows of some parts, checked."""
    return pa.concat_tables(read_parts(pa.Table.from_pylist([part._asdict() for part in parts])))


def test_finds_logs_in_directories_and_leaves_other_files_alone(tmp_path):
    wanted = [write(tmp_path / "a.parquet"), write(tmp_path / "deep" / "b.PARQUET")]
    for other in ("notes.txt", ".c.parquet", "_temporary/d.parquet", "e.parquet.tmp"):
        write(tmp_path / other)

    assert find_files([tmp_path]) == wanted


def test_a_file_that_is_named_twice_is_read_once(tmp_path, monkeypatch):
    file = write(tmp_path / "a.parquet")
    (tmp_path / "link.parquet").symlink_to(file)
    monkeypatch.chdir(tmp_path)

    assert len(find_files([tmp_path, "a.parquet", Path("../") / tmp_path.name / "a.parquet"])) == 1


def test_paths_of_parts_hold_in_processes_with_another_working_directory(tmp_path, monkeypatch):
    write(tmp_path / "a.parquet")
    monkeypatch.chdir(tmp_path)

    assert [Path(part.path).is_absolute() for part in plan_parts(["a.parquet"])] == [True]


def test_parquet_and_csv_in_one_log_are_refused(tmp_path):
    write(tmp_path / "a.parquet")
    write_csv(tmp_path / "a.csv")

    with pytest.raises(EventLogError, match=r"mixes formats: .*a\.parquet and .*a\.csv"):
        find_files([tmp_path])


def test_a_file_and_its_compressed_self_are_refused(tmp_path):
    write_csv(tmp_path / "a.csv")
    write_csv(tmp_path / "a.csv.gz")

    with pytest.raises(EventLogError, match=r"its \.gz"):
        find_files([tmp_path])


def test_a_large_parquet_file_is_read_in_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(log_files, "PART_ROWS", 20)
    path = write(tmp_path / "a.parquet", 55, row_group_size=10)

    parts = plan_parts([path])

    assert [(part.first_group, part.groups) for part in parts] == [(0, 2), (2, 2), (4, 2)]
    assert kept(read(parts))["product"].to_pylist() == [str(product) for product in range(55)]


def test_files_of_one_log_may_differ_in_types(tmp_path):
    write(tmp_path / "a.parquet", 1)
    texts = log(1).set_column(2, "product_id", pa.array(["sku-1"]))
    pq.write_table(texts, tmp_path / "b.parquet")

    assert kept(read(plan_parts([tmp_path])))["product"].to_pylist() == ["0", "sku-1"]


def test_files_without_rows_are_passed_over_beside_others(tmp_path):
    write(tmp_path / "a.parquet", 0)
    write(tmp_path / "b.parquet", 2)

    assert [Path(part.path).name for part in plan_parts([tmp_path])] == ["b.parquet"]


def test_no_parts_are_no_rows_of_the_schema():
    assert pa.concat_tables(read_parts(pa.table({"path": []}))).equals(CHECKED.empty_table())


def _missing(path: Path) -> Path:
    return path / "no.parquet"


def _directory_without_logs(path: Path) -> Path:
    (path / "readme.md").touch()
    return path


def _unknown_extension(path: Path) -> Path:
    (path / "log.xlsx").touch()
    return path / "log.xlsx"


def _no_rows(path: Path) -> Path:
    return write(path / "a.parquet", 0)


def _empty_csv(path: Path) -> Path:
    (path / "a.csv").touch()
    return path


def _header_alone(path: Path) -> Path:
    (path / "a.csv").write_text(",".join(ROW) + "\n")
    return path


def _empty_parquet(path: Path) -> Path:
    (path / "a.parquet").touch()
    return path


def _truncated(path: Path) -> Path:
    file = write(path / "a.parquet", 100)
    file.write_bytes(file.read_bytes()[:-100])
    return file


def _garbage(path: Path) -> Path:
    file = path / "a.parquet"
    file.write_bytes(bytes(range(256)) * 20)
    return file


def _garbage_gz(path: Path) -> Path:
    file = path / "a.csv.gz"
    file.write_bytes(b"hello")
    return file


def _other_columns(path: Path) -> Path:
    file = path / "a.parquet"
    pq.write_table(log(1).drop_columns(["price"]), file)
    return file


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (_missing, r"no event log at .*no\.parquet"),
        (_directory_without_logs, "no event log in the directory"),
        (_unknown_extension, r"log\.xlsx is no kind of event log"),
        (_no_rows, r"has no rows: .*a\.parquet"),
        (_empty_csv, r"a\.csv is empty"),
        (_header_alone, r"has no rows: .*a\.csv"),
        (_empty_parquet, r"cannot read .*a\.parquet: .*size is 0 bytes"),
        (_truncated, r"cannot read .*a\.parquet: .*"),
        (_garbage, r"cannot read .*a\.parquet: .*magic bytes"),
        (_garbage_gz, r"cannot read .*a\.csv\.gz: .*inflate"),
        (_other_columns, r"a\.parquet lacks the columns price; it has event_time"),
    ],
)
def test_what_is_no_log_is_refused_in_one_line_with_a_remedy(tmp_path, make, says: str):
    with pytest.raises(EventLogError, match=says) as refused:
        plan_parts([make(tmp_path)])

    assert refused.value.remedy
    assert "\n" not in str(refused.value)


def test_no_paths_are_no_log():
    with pytest.raises(EventLogError, match="no event log was given"):
        plan_parts([])


def test_a_file_that_may_not_be_read_is_refused(tmp_path, monkeypatch):
    def deny(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(log_files.pq, "read_metadata", deny)  # root may read everything

    with pytest.raises(EventLogError, match="permission denied"):
        plan_parts([write(tmp_path / "a.parquet")])


def test_a_damaged_page_is_refused_when_it_is_read(tmp_path):
    path = write(tmp_path / "a.parquet", 5_000, write_page_checksum=True)
    data = bytearray(path.read_bytes())
    data[len(data) // 4] ^= 1
    path.write_bytes(data)
    parts = plan_parts([path])

    with pytest.raises(EventLogError, match=r"cannot read .*a\.parquet: .*CRC"):
        read(parts)


@settings(max_examples=200, deadline=None, derandomize=True)  # arbitrary bytes: the same ones in every run
@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=6), st.floats(0, 1))
def test_a_damaged_parquet_file_is_read_or_refused_and_nothing_else(tmp_path_factory, changes, cut: float):
    path = write(tmp_path_factory.mktemp("damaged") / "a.parquet", 40, row_group_size=20)
    data = bytearray(path.read_bytes())
    for where, byte in changes:
        data[min(int(where * len(data)), len(data) - 1)] = byte
    path.write_bytes(data[: int(cut * len(data))] if cut < 0.3 else data)
    outcome = ""

    try:
        read(plan_parts([path])).validate(full=True)
    except EventLogError as refused:
        outcome = str(refused)

    assert "\n" not in outcome
