"""Whole states of a search on disk, of which a kill at any instant leaves the newest complete one.

Ray Tune copies its files into the experiment's directory one after the other: a kill meanwhile leaves a torn file, or
files of different instants. So each state is copied as a whole when it is complete, and renamed when that copy is.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

_WHOLE = "whole-{:08d}"
_TORN = "torn"
_OF_RAY = ("experiment_state-*", "search_gen_state-*", "searcher-state-*")


def keep(staging: Path, directory: Path) -> None:
    """Copy the state that lies complete in `staging` into the search's `directory`, in place of the one before."""
    before = sorted(directory.glob("whole-*"))
    torn = directory / _TORN
    shutil.rmtree(torn, ignore_errors=True)
    torn.mkdir(parents=True)
    for path in _files(staging):
        shutil.copyfile(path, torn / path.name)
    number = 1 + int(before[-1].name.partition("-")[2]) if before else 0
    torn.rename(directory / _WHOLE.format(number))
    for old in before:
        shutil.rmtree(old, ignore_errors=True)


def bring_back(directory: Path) -> bool:
    """Put the newest whole state where Ray Tune looks for it; False if the search was killed before it had one."""
    whole = sorted(directory.glob("whole-*"))
    if not whole:
        return False
    for path in _files(directory):
        path.unlink()
    for path in _files(whole[-1]):
        shutil.copyfile(path, directory / path.name)
    return True


def _files(directory: Path) -> Iterator[Path]:
    for pattern in _OF_RAY:
        yield from list(directory.glob(pattern))
