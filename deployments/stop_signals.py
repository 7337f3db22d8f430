"""SIGINT, SIGTERM and SIGHUP as one exception; what cleans up after it is not interrupted again."""

import signal
import socket
import subprocess
import sys
import time
from types import FrameType

from common.processes import STOPPING

_EXECUTE_CHILD = subprocess.Popen._execute_child.__code__  # type: ignore[attr-defined]

REPEAT_S = 0.5
"""A signal so soon after another is the same one, come on two ways: from the terminal and from the guardian."""


class Stopped(BaseException):
    """Somebody asked this process to stop. Not an Exception: no library that catches those may keep it."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal_number)
        self.signal_number = signal_number


class StopSignals:
    """Turns signals into `Stopped` in the main thread, until what cleans up has begun.

    An exception can get lost: raised inside a callback of a C library, or while `ray.init` has its own handler in
    place. And it does harm while a process is being started: what runs before and after a fork comes in pairs, and
    the new process would be nobody's. So it is raised again at the next signal, not raised during a fork, and the
    interpreter also notes each signal in a socket, which `check` reads.
    """

    def __init__(self) -> None:
        self._received: int | None = None
        self._raised_s = float("-inf")
        self._shielded = False
        self._notes, self._noted = socket.socketpair()
        self._notes.setblocking(False)
        self._noted.setblocking(False)

    def install(self) -> None:
        """Take over the signals; again after `ray.init` and `ray.shutdown`, which both change what SIGTERM does.

        SIGHUP stays ignored if it was: nohup says that a closed terminal is no reason to stop.
        """
        signal.set_wakeup_fd(self._noted.fileno(), warn_on_full_buffer=False)
        sys.unraisablehook = _report_unless_stopped
        for number in STOPPING:
            if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._on_signal)

    @property
    def received(self) -> int | None:
        """The number of the first signal that asked to stop, if one did."""
        if self._received is None and not self._shielded:
            try:
                numbers = self._notes.recv(4_096)
            except BlockingIOError:
                numbers = b""
            self._received = next((number for number in numbers if number in STOPPING), None)
        return self._received

    def check(self) -> None:
        """Raises Stopped if a signal came whose exception got lost."""
        if self.received is not None:
            raise Stopped(self.received)

    def shield(self) -> None:
        """From here on no signal interrupts: cleaning up runs to its end."""
        _ = self.received
        self._shielded = True

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        now_s = time.monotonic()
        if self._shielded or now_s - self._raised_s < REPEAT_S or _starts_a_process(frame):
            return
        self._raised_s = now_s
        self._received = self.received or number
        raise Stopped(self._received)


def _starts_a_process(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code is _EXECUTE_CHILD:
            return True
        frame = frame.f_back
    return False


def _report_unless_stopped(lost: "sys.UnraisableHookArgs") -> None:
    """An exception that got lost is shown, as ever; that of a signal is not lost, only late."""
    if lost.exc_type is not Stopped:
        sys.__unraisablehook__(lost)
