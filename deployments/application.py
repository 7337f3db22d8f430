"""The Serve application on a cluster: deployed from its file, waited for until it truly answers."""

import http.client
import logging
import re
import time
from collections.abc import Callable
from typing import Any

from common.errors import ConfigError, StartError

READY_IN_A_ROW = 5
"""For a moment after a replica is up HAProxy can still answer 404 or 503: one 200 is no proof."""

POLL_S = 0.1

MORE_TIME = "CARTCAST_START_TIMEOUT_S gives it more time"

_ERROR_LINE = re.compile(r"^\s*((?:\w+\.)*[A-Z]\w+: \S.*?)\s*$", re.MULTILINE)
"""How a traceback ends: the error's class, with or without its module, and its message."""

Say = Callable[[str], None]


class Deployed:
    """One application on the Ray cluster that this process is connected to."""

    def __init__(self, config: dict[str, Any]) -> None:
        self._config = config
        self._name = str(config["applications"][0].get("name", "default"))

    def deploy(self) -> None:
        """Start Serve if need be and hand it the application; it comes up in the background.

        Raises:
            StartError: Serve or HAProxy do not come up.
        """
        import ray
        from ray import serve
        from ray.serve.context import _get_global_client
        from ray.serve.schema import ServeDeploySchema

        logging.getLogger("ray.serve").setLevel(logging.WARNING)  # of this process alone; replicas have their own
        schema = ServeDeploySchema.model_validate(self._config)
        try:
            serve.start(
                proxy_location=schema.proxy_location,
                http_options=schema.http_options.model_dump(),
                logging_config=schema.logging_config,
            )
            # what `serve deploy` reaches through the dashboard, which is not started here
            client = _get_global_client()
            self._require_port(client.http_config.port)
            client.deploy_apps(schema)
        except (ray.exceptions.RayError, RuntimeError, OSError) as error:
            raise StartError(f"Ray Serve does not start: {str(error).splitlines()[0]}") from error

    def _require_port(self, actual: int) -> None:
        """A Serve that was there already keeps the port that it was started with."""
        if actual != self._config["http_options"]["port"]:
            raise ConfigError(
                f"Serve on this cluster listens on port {actual} already", remedy=f"Use it: --port {actual}"
            )

    def wait_until_running(self, deadline: float, say: Say) -> None:
        """Wait until every deployment is up; `deadline` is a `time.monotonic()`.

        Raises:
            StartError: the application fails (the message is its own error) or is not up in time.
        """
        while True:
            status, message, waiting = self._status()
            if status == "RUNNING":
                return
            if status in ("DEPLOY_FAILED", "UNHEALTHY"):
                raise StartError(f"the application does not start: {root_cause(message)}")
            if time.monotonic() > deadline:
                raise StartError(
                    f"the application is not up in time; missing: {', '.join(waiting) or 'every deployment'}",
                    remedy=MORE_TIME,
                )
            say(f"waiting for {', '.join(waiting)}" if waiting else "building the application")
            time.sleep(POLL_S)

    def _status(self) -> tuple[str, str, list[str]]:
        from ray import serve

        overview = serve.status().applications.get(self._name)
        if overview is None:
            return "NOT_STARTED", "", []
        deployments = overview.deployments
        failures = [deployment.message for deployment in deployments.values() if deployment.status == "DEPLOY_FAILED"]
        waiting = [name for name, deployment in deployments.items() if deployment.status != "HEALTHY"]
        return str(overview.status.value), "\n".join([overview.message, *failures]), waiting


def wait_until_ready(host: str, port: int, deadline: float, say: Say) -> None:
    """Wait until GET /ready answers 200 several times in a row, each time on a new connection.

    Raises:
        StartError: it does not by `deadline` (a `time.monotonic()`); the message says what it answers.
    """
    in_a_row = 0
    while in_a_row < READY_IN_A_ROW:
        answer = _ask_ready(host, port)
        in_a_row = in_a_row + 1 if answer.startswith("200") else 0
        if not in_a_row:
            if time.monotonic() > deadline:
                raise StartError(
                    f"the application does not become ready: /ready answers {answer}",
                    remedy=MORE_TIME,
                )
            say(f"/ready answers {answer}")
        time.sleep(POLL_S)


def root_cause(message: str) -> str:
    """The last error of a message full of tracebacks, as one line: `BundleError: no readable bundle at ...`."""
    errors = [match for match in _ERROR_LINE.findall(message) if not match.startswith("ray.exceptions.")]
    if errors:
        return re.sub(r"^(\w+\.)+", "", errors[-1])
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return lines[-1] if lines else "it gives no reason"


def _ask_ready(host: str, port: int) -> str:
    connection = http.client.HTTPConnection(host, port, timeout=5)
    try:
        connection.request("GET", "/ready", headers={"Connection": "close"})
        response = connection.getresponse()
        body = response.read(2_000).decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        return f"nothing ({type(error).__name__})"
    finally:
        connection.close()
    return f"{response.status} {' '.join(body.split())[:300]}"
