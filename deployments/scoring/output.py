"""The directory that a scoring run writes: a complete result, or none.

DIR/
    part-00007-00000000.parquet   scored points
    _rejected/*.parquet           points that can't be scored, with the reason
    _work/                        while the run is under way only: partitions and parts not yet complete
"""

import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from common.errors import ConfigError

PARTS = "part-*.parquet"
REJECTED_DIR = "_rejected"
WORK_DIR = "_work"

REJECTED = pa.schema(
    [
        (name, pa.string())
        for name in (
            "reason",
            "user_id",
            "user_session",
            "product_id",
            "as_of",
            "price",
            "category_code",
            "brand",
            "kind",
            "line",
        )
    ]
)
"""A point that can't be scored: why, and its columns as text; `line` is a CSV line that has no columns."""


class Output:
    """The places of one run below its directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.work = directory / WORK_DIR
        self.events = self.work / "events"
        self.points = self.work / "points"
        self.parts = self.work / "parts"
        self.rejected = self.work / "rejected"

    def publish(self) -> None:
        """Move what is complete to where it is looked for."""
        for part in sorted(self.parts.iterdir()):
            part.rename(self.directory / part.name)
        if any(self.rejected.iterdir()):
            self.rejected.rename(self.directory / REJECTED_DIR)

    def rejections(self) -> Counter[str]:
        """The points that were rejected so far, by reason."""
        reasons: Counter[str] = Counter()
        for file in self.rejected.iterdir():
            for row in pc.value_counts(pq.read_table(file, columns=["reason"])["reason"]).to_pylist():
                reasons[row["values"]] += row["counts"]
        return reasons


@contextmanager
def output_at(directory: Path, *, overwrite: bool) -> Iterator[Output]:
    """An output under way; whatever ends it early leaves no half of a result.

    Raises:
        ConfigError: the directory can't be written, or holds something and may not be overwritten.
    """
    output = Output(directory.absolute())
    _prepare(output, overwrite)
    try:
        yield output
    finally:
        shutil.rmtree(output.work, ignore_errors=True)


def _prepare(output: Output, overwrite: bool) -> None:
    directory = output.directory
    try:
        directory.mkdir(parents=True, exist_ok=True)
        present = sorted(directory.iterdir())
        ours = [path for path in present if path.match(PARTS) or path.name in (REJECTED_DIR, WORK_DIR)]
        foreign = [path for path in present if path not in ours]
        if foreign or (present and not overwrite):
            _refuse(directory, foreign)
        for path in ours:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        for place in (output.events, output.points, output.parts, output.rejected):
            place.mkdir(parents=True)
    except OSError as error:
        raise ConfigError(f"cannot write to {directory}: {error.strerror}", remedy="Choose another --out") from error


def _refuse(directory: Path, foreign: list[Path]) -> None:
    if foreign:
        raise ConfigError(
            f"{directory} holds {foreign[0].name}, which no scoring run wrote", remedy="Choose an empty --out"
        )
    raise ConfigError(f"{directory} is not empty", remedy="Choose another --out, or add --overwrite to replace it")
