"""The Ray cluster that a training run works on: one that is running already, or its own on this machine.

The local one listens on loopback alone, keeps its files in a directory that goes with it, and lets in only who has
the token of the state directory. Ray reads these variables when it is imported: so `prepare` comes first, and nothing
that imports Ray is imported before.
"""

import logging
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from common import processes
from common.errors import UnavailableError

ADDRESS = "RAY_ADDRESS"
_ANSWER_S = 5.0
ROOT = Path(__file__).resolve().parents[1]


def prepare(address: str | None, token: Path) -> None:
    """Set what Ray reads when it is imported, here and in the processes that it starts."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to anyone
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # else a warning about what we don't use
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    if address or os.environ.get(ADDRESS):
        return
    _ensure_token(token)
    os.environ["RAY_AUTH_MODE"] = "token"
    os.environ["RAY_AUTH_TOKEN_PATH"] = str(token)
    # Ray's switch for clusters of one machine: its address is 127.0.0.1 then, and Ray listens nowhere else
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"


@contextmanager
def ray_cluster(address: str | None = None) -> Iterator[int]:
    """A connected Ray, and the number of CPUs it has; what was started here is stopped again.

    Args:
        address: of a running cluster; without it `RAY_ADDRESS`, and without that a local cluster with as many
            CPUs as there are physical cores, since two fits on one core gain nothing.

    Raises:
        UnavailableError: no cluster answers at the address, or the local one does not start.
    """
    import ray

    if ray.is_initialized():
        yield _cpus()
        return
    where = address or os.environ.get(ADDRESS)
    _require_answer(where)
    with tempfile.TemporaryDirectory(prefix="cartcast-", ignore_cleanup_errors=True) as directory:
        local: dict[str, Any] = {
            "num_cpus": processes.usable_cpus(),
            "include_dashboard": False,
            "_temp_dir": str(Path(directory) / "ray"),
        }
        try:
            ray.init(where or "local", log_to_driver=False, logging_level=logging.ERROR, **({} if where else local))
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise _unavailable(where, error) from error
        try:
            yield _cpus()
        finally:
            ray.shutdown()


def smallest_node_cpus() -> int:
    """The CPUs of the smallest node of the connected cluster that has any: what one task may ask for anywhere."""
    import ray

    of_nodes = [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]
    return min((cpus for cpus in of_nodes if cpus > 0), default=1)


def _require_answer(where: str | None) -> None:
    """Ray would try for minutes to reach a cluster that is not there."""
    host, _, port = (where or "").removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), timeout=_ANSWER_S).close()
    except OSError as error:
        raise _unavailable(where, error) from error


def _unavailable(where: str | None, error: Exception) -> UnavailableError:
    if where is None:
        return UnavailableError(f"Ray does not start: {str(error).splitlines()[0]}")
    remedy = (
        f"Start it, or leave out --address and {ADDRESS} to work on this machine alone; "
        "for one that was started with a token, set RAY_AUTH_MODE=token"
    )
    return UnavailableError(f"no Ray cluster answers at {where}", remedy=remedy)


def _cpus() -> int:
    import ray

    return int(ray.cluster_resources().get("CPU", 1))


def _ensure_token(path: Path) -> None:
    """A random secret at `path`, readable by its owner alone from its first byte; one that is there stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        stream.write(os.urandom(32).hex())
