"""Ports: whether one is free, who holds it, and which is the next free one."""

import fcntl
import os
import socket
from dataclasses import dataclass
from pathlib import Path

from common.errors import ConfigError, PortTaken
from common.processes import holder_of
from deployments.run_directory import PARENT
from deployments.settings import Settings, variable_of

LOOPBACK = "127.0.0.1"

SEARCHED = 200
"""How many ports are looked at from where a search starts."""


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen on `host:port` now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # what HAProxy and Redis do too: connections of an ended run that still linger are no obstacle
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def require_free(host: str, port: int, purpose: str, remedy: str) -> int:
    """`port`, if a server could listen on it now.

    Raises:
        PortTaken: somebody else does; the message names the port and, where the system tells, the process.
    """
    if is_free(host, port):
        return port
    holder = holder_of(port)
    by_whom = f" by {holder}" if holder else ""
    raise PortTaken(f"port {port} on {host}, for {purpose}, is taken{by_whom}", remedy=remedy, port=port)


class PortClaims:
    """The ports that the runs of one user have chosen, although nobody may listen on them yet.

    HAProxy listens some 8 s after its ports were chosen; a run that starts meanwhile must not choose the same. Each
    claim is the lock on one byte of a common file, and ends with the process at the latest.
    """

    def __init__(self, file: Path | None = None) -> None:
        path = file or PARENT / f"cartcast-{os.getuid()}.ports"
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigError(f"{path} cannot be written: {error.strerror}", remedy=f"Remove {path}") from error
        self._file = os.fdopen(handle, "r+b", buffering=0)

    def claim(self, port: int) -> bool:
        """Claim a port until `close`; not if another process has."""
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Give up every claim."""
        self._file.close()


def first_free(host: str, start: int, besides: frozenset[int] = frozenset()) -> int:
    """The first port from `start` on that a server could listen on now and that is not in `besides`.

    Counting up from a fixed start keeps away from the ports that the system deals out by itself (32768 and up
    on Linux), so that nobody is given the port between this look and its use.

    Raises:
        PortTaken: none of the next 200 is free.
    """
    for port in range(start, min(start + SEARCHED, 65_536)):
        if port not in besides and is_free(host, port):
            return port
    raise PortTaken(f"no port from {start} on is free on {host}", remedy="Stop what listens there", port=start)


@dataclass(frozen=True)
class Ports:
    """The ports of one run on one machine: all on loopback but `http`, which is on the configured host."""

    http: int
    metrics: int
    stats: int
    fallback: int


def choose_ports(settings: Settings, claims: PortClaims) -> Ports:
    """Ports that are free now: those that the settings name, else the first free ones after the usual number.

    Raises:
        PortTaken: one that was asked for is in use, or about to be.
    """
    remedy = "Stop that process, or serve elsewhere: --port PORT"
    http = require_free(settings.http_host, settings.http_port, "the service", remedy)
    if not claims.claim(http):
        raise PortTaken(f"port {http} is claimed by another run that is starting", remedy=remedy, port=http)
    metrics = _inner(settings, claims, "haproxy_metrics_port", 9101, {http})
    stats = _inner(settings, claims, "haproxy_stats_port", 8404, {http, metrics})
    fallback = _inner(settings, claims, "fallback_port", 8500, {http, metrics, stats})
    return Ports(http, metrics, stats, fallback)


def _inner(settings: Settings, claims: PortClaims, field: str, start: int, besides: set[int]) -> int:
    asked: int | None = getattr(settings, field)
    if asked is None:
        while not claims.claim(port := first_free(LOOPBACK, start, frozenset(besides))):
            besides = {*besides, port}
        return port
    variable = variable_of(field)
    remedy = f"Stop that process, or set {variable} to a free port"
    if asked in besides:
        raise PortTaken(f"port {asked} is given to two purposes", remedy=f"Change {variable}", port=asked)
    require_free(LOOPBACK, asked, variable, remedy)
    if not claims.claim(asked):
        raise PortTaken(f"port {asked} is claimed by another run that is starting", remedy=remedy, port=asked)
    return asked
