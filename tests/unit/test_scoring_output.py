"""The output directory: a complete result or none, and nothing of anybody else's is touched."""

import pyarrow.parquet as pq
import pytest

from common.errors import ConfigError
from deployments.scoring.output import Output, output_at
from deployments.scoring.points import rejected_rows


def names(directory) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file())


def write(output: Output, part: str = "part-00000-00000000.parquet", *, rejected: int = 0) -> None:
    (output.parts / part).write_text("scored")
    if rejected:
        pq.write_table(rejected_rows(["bad_time"] * rejected, {}), output.rejected / "one.parquet")


def test_a_finished_run_leaves_its_parts_and_what_it_rejected(tmp_path):
    with output_at(tmp_path / "new" / "out", overwrite=False) as output:
        write(output, rejected=3)
        assert output.rejections() == {"bad_time": 3}
        output.publish()

    assert names(tmp_path / "new" / "out") == ["_rejected/one.parquet", "part-00000-00000000.parquet"]


def test_a_run_that_rejects_nothing_leaves_no_directory_for_it(tmp_path):
    with output_at(tmp_path, overwrite=False) as output:
        write(output)
        output.publish()

    assert [path.name for path in tmp_path.iterdir()] == ["part-00000-00000000.parquet"]


def interrupted_run(directory) -> None:
    with output_at(directory, overwrite=False) as output:
        write(output, rejected=1)
        raise KeyboardInterrupt


def test_a_run_that_is_broken_off_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        interrupted_run(tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_an_earlier_result_is_replaced_on_demand_only(tmp_path):
    with output_at(tmp_path, overwrite=False) as output:
        write(output, "part-00000-00000000.parquet", rejected=1)
        write(output, "part-00001-00000000.parquet")
        output.publish()

    with pytest.raises(ConfigError, match="not empty"), output_at(tmp_path, overwrite=False):
        pass
    assert len(names(tmp_path)) == 3

    with output_at(tmp_path, overwrite=True) as output:
        write(output)
        output.publish()
    assert names(tmp_path) == ["part-00000-00000000.parquet"]


def test_what_a_killed_run_left_behind_goes_with_the_next(tmp_path):
    with output_at(tmp_path, overwrite=False) as output:
        write(output)
        output.work.rename(tmp_path / "_kept")
    (tmp_path / "_kept").rename(tmp_path / "_work")

    with output_at(tmp_path, overwrite=True) as output:
        assert names(output.work) == []


@pytest.mark.parametrize("overwrite", [False, True])
def test_files_of_somebody_else_are_never_removed(tmp_path, overwrite):
    (tmp_path / "thesis.parquet").write_text("years of work")

    with (
        pytest.raises(ConfigError, match=r"thesis\.parquet, which no scoring run wrote"),
        output_at(tmp_path, overwrite=overwrite),
    ):
        pass

    assert names(tmp_path) == ["thesis.parquet"]


def test_a_place_that_is_no_directory_is_refused(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(ConfigError, match="cannot write to"), output_at(tmp_path / "file", overwrite=True):
        pass
