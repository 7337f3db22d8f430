"""Rows set down on disk by slices of time, so that a log of any size is sorted in little memory."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from training.shop.record import Rows


class Spool:
    """Rows of one dtype in files under `directory`, one file for each of `slices` equal parts of time."""

    def __init__(
        self, directory: Path, dtype: np.dtype[np.void], time: str, span_us: tuple[int, int], slices: int
    ) -> None:
        """Nothing yet; `time` names the field that orders rows, `span_us` the times that they lie between."""
        self._paths = [directory / f"{time}-{number}" for number in range(slices)]
        self._dtype = dtype
        self._time = time
        self._edges = np.linspace(*span_us, slices + 1).astype(np.int64)[1:-1]
        self.rows = 0
        self.last_us = 0

    def add(self, rows: Rows) -> None:
        """Set rows down."""
        if not rows.size:
            return
        rows = rows[np.argsort(rows[self._time], kind="stable")]
        cuts = np.searchsorted(rows[self._time], self._edges)
        for path, part in zip(self._paths, np.split(rows, cuts), strict=True):
            with path.open("ab") as file:
                file.write(part.tobytes())
        self.rows += rows.size
        self.last_us = max(self.last_us, int(rows[self._time][-1]))

    def slices(self) -> Iterator[Rows]:
        """All rows, slice by slice, ordered by time, then user, kind and product."""
        for path in self._paths:
            rows = np.fromfile(path, self._dtype) if path.exists() else np.zeros(0, self._dtype)
            yield rows[np.lexsort((rows["product"], rows["kind"], rows["user"], rows[self._time]))]
