"""What the terminal shows while something takes long: a line per step with its time, and what is waited for."""

import time
from types import TracebackType

from rich.console import Console
from rich.status import Status


class Narration:
    """Steps on stderr; stdout stays free for what the command is asked for."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._started = time.monotonic()
        self._status: Status | None = None
        self._waiting = ""

    def step(self, text: str) -> None:
        """Say that something is done."""
        self._waiting = ""
        self._console.print(f"[dim]{time.monotonic() - self._started:6.1f} s[/dim]  {text}")

    def waiting(self, text: str) -> None:
        """Say what is waited for: a spinner on a terminal, elsewhere a line when it changes."""
        if text == self._waiting:
            return
        self._waiting = text
        if not self._console.is_terminal:
            self.step(f"… {text}")
            self._waiting = text
        elif self._status is None:
            self._status = self._console.status(text)
            self._status.start()
        else:
            self._status.update(text)

    def close(self) -> None:
        """End the spinner."""
        if self._status is not None:
            self._status.stop()
            self._status = None

    def __enter__(self) -> "Narration":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
