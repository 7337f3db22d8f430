"""Processes: whose they are, how they end, and that none is left.

Every process that a run starts inherits the variable `CARTCAST_RUN` with the run's directory. By that mark a later
run knows what an earlier one left behind; a process without it is somebody else's and is never touched.
"""

import contextlib
import ctypes
import math
import os
import signal
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import psutil  # type: ignore[import-untyped]

MARK = "CARTCAST_RUN"
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""The signals that ask to stop."""

_QUOTA = Path("/sys/fs/cgroup/cpu.max")
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def usable_cpus(quota: Path = _QUOTA) -> int:
    """How many CPUs this process can keep busy: physical cores, of which its affinity and its container leave so many.

    Two fits on the two threads of one core gain nothing, and a container on a large machine sees all of its cores.

    Args:
        quota: the control group's limit, "max 100000" or "200000 100000" (microseconds of CPU, in so many).
    """
    cores = psutil.cpu_count(logical=False) or 1
    if hasattr(os, "sched_getaffinity"):
        cores = min(cores, len(os.sched_getaffinity(0)))
    with contextlib.suppress(OSError, ValueError):
        allowed, _, period = quota.read_text(encoding="ascii").partition(" ")
        cores = min(cores, math.ceil(int(allowed) / int(period)))
    return max(1, cores)


def die_with_parent(signal_number: int) -> Callable[[], None]:
    """What a child calls between fork and exec so that it gets `signal_number` when its parent ends (Linux)."""
    if not sys.platform.startswith("linux"):
        return lambda: None
    libc = ctypes.CDLL(None)  # loaded now: a forked child should do as little as it can

    def after_fork() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0)

    return after_fork


def end_when_parent_ends() -> None:
    """Send this process SIGTERM when the process that started it ends, however it ends.

    Not under nohup, which says that this process is to outlive who started it.
    """
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        return
    parent = os.getppid()
    die_with_parent(signal.SIGTERM)()
    if os.getppid() != parent:  # it ended just before
        os.kill(os.getpid(), signal.SIGTERM)


def is_interrupted_make(pid: int) -> bool:
    """Whether a process is GNU make that got SIGINT and now waits for its commands, without having told them.

    At a terminal they get the signal too. But `kill -INT` of make alone leaves it in its handler, which blocks the
    signal and waits: its mask of blocked signals is how one can tell (Linux).
    """
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    blocked = int(fields.get("SigBlk", "0"), 16)
    return fields.get("Name") in ("make", "gmake") and bool(blocked & 1 << (signal.SIGINT - 1))


def descendants() -> list[psutil.Process]:
    """The children of this process, their children, and so on."""
    found: list[psutil.Process] = psutil.Process().children(recursive=True)
    return found


def left_behind(run_directory: Path) -> list[psutil.Process]:
    """The living processes of this user that bear the mark of `run_directory`, this one excepted."""
    return [process for process in psutil.process_iter() if _bears(process, str(run_directory))]


def alive(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """Those that still run: the same process, not another one with its id, and not a zombie."""
    return [process for process in processes if _runs(process)]


def end(processes: Iterable[psutil.Process], grace_s: float) -> list[psutil.Process]:
    """Ask the processes to end, kill those that have not after `grace_s`, and give those that even so live on."""
    asked = alive(processes)
    for process in asked:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    _, stubborn = psutil.wait_procs(asked, timeout=grace_s)
    for process in stubborn:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(stubborn, timeout=2)
    return alive(stubborn)


def holder_of(port: int) -> str:
    """Who listens on a TCP port, for a message: `nginx (process 123)`; empty if the system does not tell."""
    try:
        for connection in psutil.net_connections(kind="tcp"):
            if connection.laddr and connection.laddr.port == port and connection.status == psutil.CONN_LISTEN:
                return f"{psutil.Process(connection.pid).name()} (process {connection.pid})" if connection.pid else ""
    except psutil.Error:
        return ""
    return ""


def describe(process: psutil.Process) -> str:
    """A process for a message: `haproxy (123)`."""
    with contextlib.suppress(psutil.Error):
        return f"{process.name()} ({process.pid})"
    return f"process {process.pid}"


def _runs(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _bears(process: psutil.Process, run_directory: str) -> bool:
    if process.pid == os.getpid():
        return False
    try:
        if process.uids().real != os.getuid():
            return False
        if process.environ().get(MARK) == run_directory:
            return True
        # Ray's agents write their new names over their environment; their logs are still in the run's directory
        is_ray = process.name().startswith("ray::")
        return is_ray and any(file.path.startswith(f"{run_directory}/") for file in process.open_files())
    except (psutil.Error, OSError):
        return False
