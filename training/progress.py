"""What a training run shows while it works: a line per stage, and one live table while it searches.

Where the output is not a terminal (a log file, CI) the table becomes a line for each finished trial.
"""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from training import interruption

SHOWN_EVERY_S = 15.0
"""Where the output is not a terminal, how far a stage has come is told no more often."""


class Stage:
    """A stage under way; `note` says what came of it, `show` how far it has come."""

    def __init__(self, title: str, show: Callable[[str], None]) -> None:
        self.notes: list[str] = []
        self._title = title
        self._show = show

    def note(self, text: str) -> None:
        """Add to the line that is printed when the stage ends."""
        self.notes.append(text)

    def show(self, text: str) -> None:
        """Tell how far the stage has come."""
        self._show(f"{self._title}: {text} ...")


class _Seldom:
    """Prints a line unless the one before it is younger than `SHOWN_EVERY_S`."""

    def __init__(self, line: Callable[[str], None]) -> None:
        self._line = line
        self._told_s = time.monotonic()

    def __call__(self, text: str) -> None:
        if time.monotonic() - self._told_s >= SHOWN_EVERY_S:
            self._told_s = time.monotonic()
            self._line(text)


@dataclass(frozen=True)
class Standing:
    """How the search of one member kind stands: trials that are over, and the best log loss of all."""

    kind: str
    ended: int
    best: float


@dataclass
class _Row:
    """What is shown of one member kind."""

    trials: int
    ended: int = 0
    running: bool = False
    rounds: int = 0
    best: float = math.inf


class Progress:
    """The display of one run; stages follow each other."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False)
        self._rows: dict[str, _Row] = {}
        self._ended_here = 0
        self._started_s = 0.0
        self._budget_left_s: Callable[[], float] = lambda: math.inf
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, title: str) -> Iterator[Stage]:
        """Show that `title` is under way, then what came of it and how long it took.

        Raises:
            KeyboardInterrupt: Ctrl-C was pressed, before or meanwhile, and got lost.
        """
        interruption.check()
        started_s = time.monotonic()
        if self._console.is_terminal:
            with self._console.status(f"{title} ...") as status:
                stage = Stage(title, status.update)
                yield stage
        else:
            self._line(f"{title} ...")
            stage = Stage(title, _Seldom(self._line))
            yield stage
        interruption.check()
        self.seconds[title] = taken_s = time.monotonic() - started_s
        self._line(f"[bold]{title:<26}[/]{taken_s:6.1f} s   {'; '.join(stage.notes)}")

    @contextmanager
    def searching(
        self, kinds: Sequence[str], trials: int, *, left_s: Callable[[], float] = lambda: math.inf
    ) -> Iterator[None]:
        """Show the searches of some kinds, which end `left_s` from now at the latest.

        Meanwhile `shown_progress` is this display.
        """
        self._rows = {kind: _Row(trials) for kind in kinds}
        self._ended_here = 0
        self._started_s = time.monotonic()
        self._budget_left_s = left_s
        token = _SHOWN.set(self)
        try:
            if self._console.is_terminal:
                with Live(get_renderable=self._table, console=self._console, refresh_per_second=4, transient=True):
                    yield
            else:
                yield
        finally:
            _SHOWN.reset(token)

    def trial_started(self, kind: str, standings: Iterable[Standing]) -> None:
        """A trial of `kind` begins."""
        self._update(standings)
        self._rows[kind].running, self._rows[kind].rounds = True, 0

    def trial_reported(self, kind: str, standings: Iterable[Standing], *, rounds: int) -> None:
        """A trial of `kind` has got so far."""
        self._update(standings)
        self._rows[kind].rounds = rounds

    def trial_ended(self, kind: str, standings: Iterable[Standing]) -> None:
        """A trial of `kind` is over: done, pruned or failed."""
        self._update(standings)
        row = self._rows[kind]
        row.running = False
        self._ended_here += 1
        if not self._console.is_terminal:
            share = f"{kind} {row.ended}/{row.trials}"
            best = f"best log loss {row.best:.5f}" if math.isfinite(row.best) else "none that may win yet"
            self._line(f"  trial {self._ended()}/{self._total()}: {share}, {best}, {self._time_left()}")

    def _update(self, standings: Iterable[Standing]) -> None:
        for standing in standings:
            row = self._rows[standing.kind]
            row.ended, row.best = standing.ended, standing.best

    def _ended(self) -> int:
        return sum(row.ended for row in self._rows.values())

    def _total(self) -> int:
        return sum(row.trials for row in self._rows.values())

    def print(self, what: RenderableType) -> None:
        """Print a line, a table or the like."""
        self._console.print(what)

    def _line(self, text: str) -> None:
        self._console.print(text, soft_wrap=True)

    def _table(self) -> Group:
        table = Table(box=None, pad_edge=False)
        for column in ("searching", "", "trials", "best log loss", "now"):
            table.add_column(column, justify="right" if column in ("trials", "best log loss") else "left")
        for kind, row in self._rows.items():
            best = f"{row.best:.5f}" if math.isfinite(row.best) else "-"
            now = f"round {row.rounds}" if row.running else "waits" if row.ended < row.trials else "done"
            bar = ProgressBar(total=row.trials, completed=row.ended, width=24)
            table.add_row(kind, bar, f"{row.ended}/{row.trials}", best, now)
        elapsed_s = time.monotonic() - self._started_s
        foot = f"{elapsed_s:.0f} s, {self._time_left()}; Ctrl-C stops it, --resume goes on"
        return Group(table, Text(foot, style="dim"))

    def _time_left(self) -> str:
        """What the trials left will take at the pace so far, or what is left of the time budget if that is less."""
        budget_s = max(0.0, self._budget_left_s())
        pace_s = math.inf
        if self._ended_here:
            elapsed_s = time.monotonic() - self._started_s
            pace_s = elapsed_s / self._ended_here * (self._total() - self._ended())
        if pace_s <= budget_s:
            return f"about {pace_s:.0f} s left" if math.isfinite(pace_s) else "no trial is over yet"
        return f"at most {budget_s:.0f} s left, when the time budget ends"


_SHOWN: ContextVar[Progress] = ContextVar("shown_progress")


def shown_progress() -> Progress:
    """The display that is searching in this context: Ray Tune's callbacks cannot carry one."""
    return _SHOWN.get()
