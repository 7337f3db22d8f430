"""States of a search that survive a kill while they are written."""

from pathlib import Path

from training.snapshots import bring_back, keep

FILES = ("experiment_state-1.json", "search_gen_state-1.json", "searcher-state-1.pkl")


def write(directory: Path, text: str) -> Path:
    directory.mkdir(exist_ok=True)
    for name in FILES:
        (directory / name).write_text(text, encoding="utf-8")
    return directory


def texts(directory: Path) -> list[str]:
    return [(directory / name).read_text(encoding="utf-8") for name in FILES]


def test_the_newest_whole_state_comes_back_in_place_of_torn_files(tmp_path):
    for number in range(12):
        keep(write(tmp_path / "staging", f"state {number}"), tmp_path)
    write(tmp_path, "torn")
    (tmp_path / "experiment_state-2.json").write_text("of a later sitting, torn", encoding="utf-8")

    assert bring_back(tmp_path)

    assert texts(tmp_path) == ["state 11"] * 3
    assert not (tmp_path / "experiment_state-2.json").exists()
    assert len(list(tmp_path.glob("whole-*"))) == 1


def test_a_copy_that_was_not_finished_is_not_brought_back(tmp_path):
    keep(write(tmp_path / "staging", "whole"), tmp_path)
    write(tmp_path / "torn", "half")

    assert bring_back(tmp_path)
    assert texts(tmp_path) == ["whole"] * 3

    keep(write(tmp_path / "staging", "next"), tmp_path)
    assert bring_back(tmp_path)
    assert texts(tmp_path) == ["next"] * 3


def test_nothing_is_brought_back_where_nothing_was_kept(tmp_path):
    write(tmp_path, "what Ray Tune had begun to write")
    assert not bring_back(tmp_path)
