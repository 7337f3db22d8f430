"""The stores of examples below `state/examples`: made whole or not at all, used again for the same log, and few.

A store is made in a directory of its own beside the finished ones and gets its name when it is complete; what a run
that broke off left is removed by the next one. The newest `KEPT` stay, and any that a running process has open.
"""

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from common.feature_specs import SCHEMA_HASH
from common.log_files import unreadable

KEPT = 2
"""Stores that stay on disk: that of the log trained on and that of one judged, some 320 bytes an example."""

MANIFEST = "manifest.json"
_MAKING, _LOCK = ".making-", "lock"
_ROOT = Path(__file__).resolve().parents[1]


def identity_of(files: Sequence[Path], **settings: str | int) -> str:
    """What a log's examples depend on: its files' content (not their names), the settings, the features, the code.

    Raises:
        EventLogError: a file cannot be read.
    """
    digest = hashlib.blake2b(digest_size=16)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for of_file in sorted(pool.map(_hash_of, files)):
            digest.update(of_file)
    digest.update(json.dumps({"features": SCHEMA_HASH, **settings}, sort_keys=True).encode())
    digest.update(_code_revision())
    return digest.hexdigest()


@contextmanager
def making(shelf: Path) -> Iterator[Path]:
    """A directory to make a store in; removed at the end, whatever happened, with all that was not moved out of it."""
    shelf.mkdir(parents=True, exist_ok=True)
    for left in shelf.glob(f"{_MAKING}*"):
        remove_unless_open(left, _LOCK)
    directory = Path(tempfile.mkdtemp(prefix=_MAKING, dir=shelf))
    (directory / _LOCK).touch()
    lease = Lease(directory, _LOCK)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        lease.end()


def shelve(made: Path, shelf: Path, identity: str) -> Path:
    """Give a complete store its name, unless another run was faster, and remove the oldest ones."""
    target = shelf / identity
    try:
        made.rename(target)
    except OSError:
        if not (target / MANIFEST).exists():
            raise
    (target / MANIFEST).touch()
    finished = sorted((path.parent for path in shelf.glob(f"*/{MANIFEST}")), key=_last_used, reverse=True)
    for old in finished[KEPT:]:
        remove_unless_open(old)
    return target


class Lease:
    """A directory that this process has open, by a file of it: no other removes it."""

    def __init__(self, directory: Path, name: str = MANIFEST) -> None:
        self._file = (directory / name).open("rb")
        fcntl.flock(self._file, fcntl.LOCK_SH)

    def end(self) -> None:
        """Let the directory go; the end of the lease's life does the same."""
        self._file.close()


def remove_unless_open(directory: Path, name: str = MANIFEST) -> bool:
    """Remove a directory unless a process has a lease of it; whether it was removed."""
    try:
        with (directory / name).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(directory, ignore_errors=True)
    except BlockingIOError:
        return False
    except FileNotFoundError:  # it was killed before it had a lock, or another process removes it now
        shutil.rmtree(directory, ignore_errors=True)
    return True


def manifest_of(store: Path) -> dict[str, Any] | None:
    """The manifest of a finished store, which counts as used now; None where there is none."""
    path = store / MANIFEST
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        path.touch()
    except FileNotFoundError:
        return None
    return content


def _last_used(store: Path) -> float:
    return (store / MANIFEST).stat().st_mtime


def _hash_of(file: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16)).digest()
    except OSError as error:
        raise unreadable(file, error) from error


def _code_revision() -> bytes:
    """The hash of every source file that could have a part in examples: more than do, and never one too few."""
    digest = hashlib.blake2b(digest_size=16)
    for file in sorted([*_ROOT.glob("common/**/*.py"), *_ROOT.glob("training/*.py")]):
        digest.update(file.read_bytes())
    return digest.digest()
