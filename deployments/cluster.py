"""Ray: a local cluster that is ours from start to end, or a running one that we only visit.

The local one listens on loopback alone and keeps everything in the run directory. All of that is said in variables
that Ray reads when it is imported, here and in each of its processes: so `ray` is imported late in this package.
"""

import contextlib
import os
import socket
import sys
import time
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]

from common import processes
from common.errors import ConfigError, StartError
from deployments import haproxy
from deployments.ports import Ports
from deployments.secret_files import ensure_secret
from deployments.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
OBJECT_STORE_BYTES = 256 * 1024 * 1024
"""Requests do not pass through the object store; Ray's own default is 30 % of the memory."""

SERVE_STOP_S = 6.0
"""How long Serve may take to drain and stop; after that its processes are ended."""

CHOOSABLE = {
    "RAY_SERVE_ENABLE_HA_PROXY": "1",  # 7 times the requests per second of Serve's own proxy
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    "RAY_worker_niceness": "0",  # workers would run at 15
    # how long a replica that is taken out of service still accepts requests: HAProxy here learns of it in 0.1 s,
    # and Serve's 30 s would be the time that stopping takes
    "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "1",
    # a line per request to a Python process that parses it: 76 to 85 us of CPU a request here, where an echo costs its
    # replica 270; without, the echo gave 30 % more. /metrics counts requests, HAProxy's own page goes on counting too
    "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",
}
"""What the environment may set otherwise."""


class LocalCluster:
    """A Ray cluster of this process alone."""

    def __init__(self, settings: Settings, run: Path, ports: Ports) -> None:
        self._settings = settings
        self._run = run
        self._ports = ports
        self._before: set[int] = set()

    @property
    def logs(self) -> Path:
        """Where Ray's processes write what happens."""
        return self._run / "ray" / "session_latest" / "logs"

    def prepare(self) -> None:
        """Set the variables that Ray reads when it is imported, here and in the processes that it starts."""
        if "ray" in sys.modules:
            raise RuntimeError("ray was imported too early: it has read its environment already")
        os.environ.update(self._environment())

    def start(self) -> None:
        """Start Ray.

        Raises:
            StartError: it does not come up.
        """
        self._before = {process.pid for process in processes.descendants()}
        import ray

        try:
            ray.init(
                address="local",  # never one that RAY_ADDRESS or an earlier `ray start` points at
                num_cpus=self._settings.ray_cpus,
                object_store_memory=OBJECT_STORE_BYTES,
                include_dashboard=False,
                log_to_driver=False,
                logging_level="ERROR",
                _temp_dir=str(self._run / "ray"),
                runtime_env={"worker_process_setup_hook": "deployments.loopback.bind_replicas"},
            )
        except (ray.exceptions.RayError, RuntimeError, ValueError, OSError) as error:
            raise StartError(
                f"Ray does not start: {str(error).splitlines()[0]}", remedy=f"Its logs are in {self.logs}"
            ) from error

    def stop(self) -> None:
        """End Serve, then Ray, then whatever of them has not ended by itself."""
        ours = self._processes()
        if not self.failed():  # without GCS or raylet every call to Ray waits a minute, and then ends this process
            _stop_serve()
            import ray

            ray.shutdown()
        processes.end(ours, grace_s=1)

    def failed(self) -> str:
        """What has ended that should run; empty if all is well."""
        names = {_name(process) for process in self._processes()}
        lost = [name for name in ("gcs_server", "raylet") if name not in names]
        return f"Ray's {' and '.join(lost)} ended" if lost else ""

    def _processes(self) -> list[psutil.Process]:
        return processes.alive(process for process in processes.descendants() if process.pid not in self._before)

    def _environment(self) -> dict[str, str]:
        token = self._settings.state_dir / "ray.token"
        ensure_secret(token, lambda: os.urandom(32).hex())
        return {
            **{name: os.environ.get(name, value) for name, value in CHOOSABLE.items()},
            **haproxy.write_launcher(self._run, self._settings.http_host),
            "RAY_SERVE_HAPROXY_METRICS_PORT": str(self._ports.metrics),
            "RAY_SERVE_HAPROXY_STATS_PORT": str(self._ports.stats),
            "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(self._ports.fallback),
            "RAY_USAGE_STATS_ENABLED": "0",
            # Ray's switch for one-machine clusters (it is off by itself on macOS and Windows): the node's address
            # is then 127.0.0.1, and Ray listens there only. `_node_ip_address="127.0.0.1"` is replaced on Linux.
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
            # left alone, Ray makes ~/.ray/auth_token, readable by all, and a warning
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(token),
            "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
        }


class VisitedCluster:
    """A Ray cluster that somebody else runs. What is deployed there is taken down again, the cluster goes on."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._serve_was_there = False

    def prepare(self) -> None:
        """Nothing to set: its variables were set where it was started. See that somebody is there at all.

        Raises:
            StartError: nobody listens at the address; Ray itself would try for more than a minute.
        """
        host, _, port = self._address.rpartition(":")
        if not port.isdecimal():
            return  # "auto", or something that Ray knows better
        try:
            socket.create_connection((host, int(port)), timeout=5).close()
        except OSError as error:
            raise self._not_there(error) from error

    def start(self) -> None:
        """Connect.

        Raises:
            StartError: what is at the address is no Ray that we can use.
        """
        import ray

        try:
            ray.init(address=self._address, log_to_driver=False, logging_level="ERROR")
        except (ray.exceptions.RayError, RuntimeError, ValueError, OSError) as error:
            raise self._not_there(error) from error
        self._serve_was_there = _controller() is not None

    def _not_there(self, error: Exception) -> StartError:
        return StartError(
            f"no Ray cluster answers at {self._address}: {str(error).splitlines()[0]}",
            remedy="Start one with `ray start --head`, or unset RAY_ADDRESS to get a local one",
        )

    def require_one_machine(self) -> None:
        """Raises ConfigError if the cluster spans machines: an embedded Redis is out of reach of the others."""
        import ray

        if len({node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]}) > 1:
            raise ConfigError(
                "the cluster has more than one machine, which an embedded Redis cannot serve",
                remedy="Set REDIS_URL to a Redis that all of them reach, here and on the cluster",
            )

    def stop(self) -> None:
        """Take down Serve if it was not there before, else our application alone, and disconnect."""
        import ray

        if not ray.is_initialized():
            return
        if self._serve_was_there:
            from ray import serve

            with contextlib.suppress(ray.exceptions.RayError, TimeoutError):
                serve.delete("cartcast", _blocking=False)
        else:
            _stop_serve()
        ray.shutdown()

    def failed(self) -> str:
        """What has ended that should run; empty if all is well."""
        import ray

        return "" if ray.is_initialized() else "the connection to the Ray cluster ended"


def _stop_serve() -> None:
    """Let Serve drain and end, for a while.

    `serve.shutdown()` waits on a call to the controller, which the controller's own end then breaks, with a warning
    on every terminal; so it is asked not to wait, and watched.
    """
    import ray

    if not ray.is_initialized():
        return
    deadline = time.monotonic() + SERVE_STOP_S
    with contextlib.suppress(ray.exceptions.RayError, TimeoutError):
        controller = _controller()
        if controller is None:
            return
        ray.get(controller.graceful_shutdown.remote(wait=False), timeout=SERVE_STOP_S)
        while _controller() is not None and time.monotonic() < deadline:
            time.sleep(0.05)


def _controller() -> Any | None:
    import ray
    from ray.serve._private.constants import SERVE_CONTROLLER_NAME, SERVE_NAMESPACE

    try:
        return ray.get_actor(SERVE_CONTROLLER_NAME, namespace=SERVE_NAMESPACE)
    except ValueError:  # there is none
        return None


def _name(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return str(process.name())
    return ""
