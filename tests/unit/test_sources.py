"""Which log a bundle was trained on: told by content."""

import os
import shutil

import pytest

from common.errors import EventLogError
from training.sources import same_log, sources_of


@pytest.fixture
def log(tmp_path):
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "a.csv").write_text("event_time\n2016-08-01\n")
    (tmp_path / "log" / "b.csv").write_text("event_time\n2016-08-02\n")
    return tmp_path / "log"


def test_a_moved_or_touched_log_is_the_same(log, tmp_path):
    before = sources_of([log])
    os.utime(log / "a.csv", (1, 1))
    moved = shutil.move(log, tmp_path / "elsewhere")
    (moved / "a.csv").rename(moved / "z.csv")

    assert same_log(before, sources_of([moved]))


def test_an_edited_log_of_the_same_size_is_another(log):
    before = sources_of([log])
    stat = (log / "a.csv").stat()
    (log / "a.csv").write_text("event_time\n2016-08-03\n")
    os.utime(log / "a.csv", ns=(stat.st_atime_ns, stat.st_mtime_ns))

    assert not same_log(before, sources_of([log]))


def test_a_log_with_a_file_more_is_another(log):
    assert not same_log(sources_of([log / "a.csv"]), sources_of([log]))


def test_files_that_are_no_log_do_not_count(log):
    before = sources_of([log])
    (log / "notes.txt").write_text("read me")
    assert same_log(before, sources_of([log]))


def test_a_missing_log_is_refused(tmp_path):
    with pytest.raises(EventLogError, match="no event log at"):
        sources_of([tmp_path / "missing.csv"])
