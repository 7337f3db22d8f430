"""Ctrl-C that cannot get lost.

Python drops an exception that is raised inside a weakref callback, a `__del__` or a C library's callback, and a
KeyboardInterrupt with it: the work goes on as if nobody had asked it to stop. So a Ctrl-C is remembered; it is raised
again right after it was dropped, and at the next beginning or end of a stage whatever became of it.
"""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import FrameType

EXIT_CODE = 130
"""What a shell gives for a command that Ctrl-C ended."""

AGAIN_S = 0.05
"""How long after it was dropped a KeyboardInterrupt is raised again: not while Python still drops the first."""


class Interruption:
    """Whether Ctrl-C was pressed in this run, and what then happens; a second one ends the process at once."""

    def __init__(self) -> None:
        self.received = False

    def on_sigint(self, _number: int, _frame: FrameType | None) -> None:
        """Remember it and raise.

        Raises:
            KeyboardInterrupt: always, the first time.
        """
        if self.received:
            os._exit(EXIT_CODE)
        self.received = True
        raise KeyboardInterrupt

    def check(self) -> None:
        """Raise what may have got lost.

        Raises:
            KeyboardInterrupt: Ctrl-C was pressed.
        """
        if self.received:
            self.settle()
            raise KeyboardInterrupt

    def settle(self) -> None:
        """It has got through: what cleans up is not interrupted once more."""
        signal.setitimer(signal.ITIMER_REAL, 0.0)

    def on_dropped(self, lost: "sys.UnraisableHookArgs") -> None:
        """Take note of an exception that Python dropped: a Ctrl-C is only late, all others are shown as ever."""
        if self.received and lost.exc_type is KeyboardInterrupt:
            signal.setitimer(signal.ITIMER_REAL, AGAIN_S)
        else:
            sys.__unraisablehook__(lost)

    def on_alarm(self, _number: int, _frame: FrameType | None) -> None:
        """Raise again what was dropped.

        Raises:
            KeyboardInterrupt: always.
        """
        raise KeyboardInterrupt


_PRESENT: ContextVar[Interruption] = ContextVar("present_interruption")


@contextmanager
def remembered() -> Iterator[Interruption]:
    """Remember Ctrl-C meanwhile, unless signals are not ours: in another thread, or where SIGINT is ignored."""
    interruption = Interruption()
    token = _PRESENT.set(interruption)
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN or threading.current_thread() is not threading.main_thread():
        try:
            yield interruption
        finally:
            _PRESENT.reset(token)
        return
    alarm, hook = signal.signal(signal.SIGALRM, interruption.on_alarm), sys.unraisablehook
    sys.unraisablehook = interruption.on_dropped
    signal.signal(signal.SIGINT, interruption.on_sigint)
    try:
        yield interruption
    finally:
        interruption.settle()
        signal.signal(signal.SIGINT, before)
        signal.signal(signal.SIGALRM, alarm)
        sys.unraisablehook = hook
        _PRESENT.reset(token)


def check() -> None:
    """Raise a Ctrl-C of this run that got lost.

    Raises:
        KeyboardInterrupt: it was pressed.
    """
    if interruption := _PRESENT.get(None):
        interruption.check()
