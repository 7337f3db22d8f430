"""SIGINT, SIGTERM and SIGHUP as one exception, raised once; what cleans up after it is not interrupted again."""

import signal
from types import FrameType


class Stopped(BaseException):
    """Somebody asked this process to stop. Not an Exception: no library that catches those may keep it."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal_number)
        self.signal_number = signal_number


class StopSignals:
    """Turns the first signal into `Stopped` in the main thread, and passes over the others."""

    def __init__(self) -> None:
        self._received: int | None = None
        self._shielded = False

    def install(self) -> None:
        """Take over the signals; again after `ray.init`, which sets a handler of its own for SIGTERM.

        SIGHUP stays ignored if it was: nohup says that a closed terminal is no reason to stop.
        """
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._on_signal)

    def check(self) -> None:
        """Raises Stopped if a signal came whose exception got lost in a library."""
        if self._received is not None:
            raise Stopped(self._received)

    @property
    def received(self) -> bool:
        """Whether a signal asked to stop."""
        return self._received is not None

    def shield(self) -> None:
        """From here on no signal interrupts: cleaning up runs to its end."""
        self._shielded = True

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self._shielded or self._received is not None:
            return
        self._received = number
        raise Stopped(number)
