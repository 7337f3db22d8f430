"""Which log a bundle was trained on: by what its files hold, not by where they lie or when they were touched."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from common.log_files import find_files, unreadable


def sources_of(events: Sequence[Path]) -> list[dict[str, Any]]:
    """Each file of a log: its path, its size, and the hash of what it holds (about a second for a gigabyte).

    Raises:
        EventLogError: a file is not there, or cannot be read.
    """
    return [_source(file) for file in find_files(events)]


def same_log(one: Iterable[Mapping[str, Any]], other: Iterable[Mapping[str, Any]]) -> bool:
    """Whether two logs hold the same files, wherever they lie and in whatever order."""
    return _contents(one) == _contents(other)


def _source(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
        return {"path": str(file.resolve()), "bytes": file.stat().st_size, "blake2b": digest}
    except OSError as error:
        raise unreadable(file, error) from error


def _contents(sources: Iterable[Mapping[str, Any]]) -> list[tuple[Any, Any]]:
    return sorted((source.get("bytes", 0), source.get("blake2b", "")) for source in sources)
