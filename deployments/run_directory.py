"""The place of one run: sockets, logs and whatever else is gone when the run is over.

It is below /tmp and its name is short: the name of a unix socket has at most 107 bytes, HAProxy needs 97 of them
for `<run directory>/<node id, 56 characters>/admin.sock` and its temporary twin. Two checkouts have two directories.
"""

import fcntl
import hashlib
import os
import shutil
from pathlib import Path
from typing import IO

from common import processes
from common.errors import ConfigError, StartError

PARENT = Path("/tmp")  # noqa: S108 - TMPDIR may be too long; the directory is made with mode 700, never taken over


class RunDirectory:
    """The run directory of a state directory, held by one living process at most."""

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir
        self._lock: IO[str] | None = None
        digest = hashlib.blake2b(f"{os.getuid()}:{state_dir}".encode(), digest_size=5).hexdigest()
        self.path = PARENT / f"cartcast-{digest}"

    def claim(self) -> list[str]:
        """Take hold of the directory, empty; gives what had to be ended of an earlier run, for a message.

        Raises:
            ConfigError: another process serves from the same state directory, or a directory cannot be made.
            StartError: a process of an earlier run does not end.
        """
        self._take_lock()
        orphans = processes.left_behind(self.path)
        named = [processes.describe(orphan) for orphan in orphans]
        stubborn = processes.end(orphans, grace_s=2)
        if stubborn:
            raise StartError(
                f"{', '.join(map(processes.describe, stubborn))} of an earlier run does not end",
                remedy=f"kill -9 {' '.join(str(process.pid) for process in stubborn)}",
            )
        self._make_empty()
        return named

    @property
    def claimed(self) -> bool:
        """Whether this process holds the directory: only then is anything in it, or marked with it, ours to end."""
        return self._lock is not None

    def release(self, *, keep: bool) -> None:
        """Let go; what is in the directory is removed, unless it is kept to be read after a failure."""
        if self._lock is None:
            return
        if not keep:
            shutil.rmtree(self.path, ignore_errors=True)
        self._lock.close()
        self._lock = None

    def _take_lock(self) -> None:
        try:
            self._state_dir.mkdir(parents=True, exist_ok=True)
            lock = (self._state_dir / "serve.lock").open("a+")
        except OSError as error:
            raise ConfigError(
                f"no state can be kept in {self._state_dir}: {error.strerror}",
                remedy="Set CARTCAST_STATE_DIR to a directory that can be written",
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.seek(0)
            holder = lock.read().strip()
            lock.close()
            raise ConfigError(
                f"process {holder or '(starting)'} serves from {self._state_dir} already",
                remedy=f"Stop it with: kill {holder or 'PID'}, or give this one its own CARTCAST_STATE_DIR",
            ) from error
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        self._lock = lock

    def _make_empty(self) -> None:
        try:
            if self.path.exists():
                shutil.rmtree(self.path)
            self.path.mkdir(mode=0o700)
        except OSError as error:
            raise ConfigError(
                f"the run directory {self.path} cannot be made: {error.strerror}", remedy=f"Remove {self.path}"
            ) from error
