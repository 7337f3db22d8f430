"""What a scoring run shows while it works: one bar, through its stages; a line per stage where there is no terminal."""

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class ScoringProgress:
    """The display of one run; a context manager, so that the bar is gone when the run ends, however it ends."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar = Progress(
            TextColumn("{task.description:<14}"),
            BarColumn(),
            TextColumn("{task.fields[rows]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task: TaskID | None = None
        self._title = ""
        self._since_s = 0.0
        self._rows = 0
        self._done: set[int] = set()
        self.stages_s: dict[str, float] = {}

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end_stage()
        self._bar.stop()

    def stage(self, title: str, ranges: int | None = None) -> None:
        """Begin the next stage; `ranges` is how many there are to do, where that is known."""
        self._end_stage()
        self._title, self._since_s, self._rows, self._done = title, time.monotonic(), 0, set()
        self._task = self._bar.add_task(title, total=ranges, rows="")
        if not self._console.is_terminal:
            self._console.print(f"{title} ...")

    def rows(self, more: int, of_ranges: Sequence[int] = ()) -> None:
        """Some rows more, of these ranges."""
        self._rows += more
        self._done.update(of_ranges)
        if self._task is not None:
            self._bar.update(self._task, completed=len(self._done), rows=f"{self._rows:,} rows")

    def _end_stage(self) -> None:
        if self._task is not None:
            self.stages_s[self._title] = time.monotonic() - self._since_s
            self._bar.remove_task(self._task)
            self._task = None
