"""A parent that does nothing but see to it that nothing outlives its child.

Ray's own processes do not all end when the process that started them is killed: its two agents, cut off from
everything, stay for minutes and longer. The guardian adopts every orphan among its descendants (Linux: it is their
"subreaper"), whatever they call themselves, and ends them when the child is gone. Should the guardian itself be
killed, the child is told to stop, and cleans up by itself.
"""

import contextlib
import ctypes
import os
import signal
import sys
import traceback
from collections.abc import Callable
from types import FrameType

from common import processes
from common.processes import STOPPING

PATIENCE_S = 30
"""How long the child may take to clean up after it was told to stop."""

_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


def guarded(work: Callable[[], int], *, tell_once: bool = False) -> int:
    """Run `work` in a child process; gives its exit code once the child and all that it started are gone.

    Signals that ask to stop are passed on to it, as is the end of our own parent, and `make` that was interrupted.
    Call it before threads are started.

    Args:
        work: what to do; its result is the exit code.
        tell_once: work that cleans up at its first KeyboardInterrupt and would be broken off by a second. It gets a
            process group of its own, so that a terminal's Ctrl-C reaches it once, through us; and SIGINT for
            whatever signal asks to stop.
    """
    processes.end_when_parent_ends()
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    guardian = os.getpid()
    child = os.fork()
    if child == 0:
        if tell_once:
            os.setpgid(0, 0)
        _be_the_child(guardian, work)
    _pass_signals_on(child, tell_once=tell_once)
    code = _wait_for(child)
    _end_orphans()
    if code < 0:
        print(
            f"error: the working process was killed by signal {-code}; what it had started is stopped", file=sys.stderr
        )
        return 128 - code
    return code


def _be_the_child(guardian: int, work: Callable[[], int]) -> None:
    processes.die_with_parent(signal.SIGTERM)()
    if os.getppid() != guardian:
        os._exit(128 + signal.SIGTERM)
    code = 1
    try:
        code = work()
    except BaseException:  # noqa: BLE001 - nothing is above this; it must be seen
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # without the exit handlers of Ray, which wait for processes that have been ended already


def _pass_signals_on(child: int, *, tell_once: bool) -> None:
    """Pass a signal on, then remind the child every second until it has ended: the first can get lost in a library.

    What a terminal sends reaches the child directly too; it takes signals in quick succession for one. The reminder
    is SIGINT, since `ray.shutdown` puts SIGTERM back to what it does by itself, which is to kill.
    """
    parent = os.getppid()
    stopping_s: int | None = None

    def on_signal(number: int, _frame: FrameType | None) -> None:
        nonlocal stopping_s
        if stopping_s is None or not tell_once:
            _send(child, signal.SIGINT if tell_once else number)
        stopping_s = stopping_s or 0

    def every_second(_number: int, _frame: FrameType | None) -> None:
        nonlocal stopping_s
        if stopping_s is None:
            if processes.is_interrupted_make(parent):
                on_signal(signal.SIGINT, None)
            return
        stopping_s += 1
        if stopping_s >= PATIENCE_S:
            _send(child, signal.SIGKILL)
        elif not tell_once:
            _send(child, signal.SIGINT)

    signal.signal(signal.SIGALRM, every_second)
    signal.setitimer(signal.ITIMER_REAL, 1, 1)
    for number in STOPPING:
        if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, on_signal)


def _send(child: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, number)


def _wait_for(child: int) -> int:
    """The exit code of the child, minus the number of the signal that killed it; orphans are buried on the way."""
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == child:
            signal.setitimer(signal.ITIMER_REAL, 0)
            return os.waitstatus_to_exitcode(status)


def _end_orphans() -> None:
    """End the descendants until there are none: one that ends can leave children, which then are ours."""
    while left := processes.descendants():
        if processes.end(left, grace_s=2):
            return  # not even SIGKILL: stuck in the kernel
        _bury()


def _bury() -> None:
    """Take note of the children that have ended, so that they leave the process table."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
