"""Claim: the whole service answers so many requests a second, so fast; beside an echo on the same ingress and the
four models in one FastAPI process, measured in the same run.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.load import Outcome, Target, measure
from benchmarks.traffic import decisions, history, post, send_history
from common.bundle import Bundle, open_bundle
from common.clock import now_us, to_iso
from common.feature_specs import SCHEMA_HASH
from deployments.registry import find_bundle
from deployments.settings import load_settings

HOST = "127.0.0.1"
START_TIMEOUT_S = 240.0
BODIES = 100_000
"""Distinct decisions: more than a measurement sends, so that the cache is never hit."""


def run(seconds: float) -> None:
    """Measure all targets in turn and print them side by side.

    Args:
        seconds: how long each measurement lasts.
    """
    console = Console(width=120)
    bundle = open_bundle(find_bundle(load_settings(), version=None, alias=None).path, feature_schema=SCHEMA_HASH)
    bodies = decisions(bundle, BODIES)
    rows: list[tuple[str, Outcome]] = []
    with _serving("benchmarks/echo_config.yaml") as port:
        rows += _measured("echo, same ingress", port, "/predict_purchase", {}, bodies, seconds)
    with _one_process(bundle) as port:
        rows += _measured("four models, one FastAPI process", port, "/predict_purchase", {}, bodies, seconds)
    with _serving("serve_config.yaml") as port:
        headers = {"Authorization": f"Bearer {_token()}"}
        send_history(f"http://{HOST}:{port}", history(bundle), headers)
        for method in ("none", "shap"):
            path = f"/predict_purchase?explain={method}"
            rows += _measured(f"Cartcast, explain={method}", port, path, headers, bodies, seconds)
        # the same instant each time: without as_of the clock moves on, and with it what the vector says of durations
        same = [{**bodies[0], "as_of": to_iso(now_us())}]
        rows += _measured("Cartcast, cache hits", port, "/predict_purchase?explain=none", headers, same, seconds)
        console.print(_batch_rate(port, headers, bodies))
    console.print(_table(rows))


def _measured(
    name: str, port: int, path: str, headers: Mapping[str, str], bodies: Sequence[Mapping[str, Any]], seconds: float
) -> list[tuple[str, Outcome]]:
    target = Target(HOST, port, path, headers, bodies)
    return [(name, measure(target, connections=n, seconds=seconds)) for n in (1, 32)]


def _table(rows: Sequence[tuple[str, Outcome]]) -> Table:
    table = Table(title="requests a second, and latency; the ratio is to the echo at as many connections")
    for column in ("target", "connections", "req/s", "of echo", "of one process", "p50 ms", "p99 ms", "failed"):
        table.add_column(column, justify="left" if column == "target" else "right")
    rate = {(name, outcome.connections): outcome.requests_per_s for name, outcome in rows}
    for name, outcome in rows:
        echo = rate["echo, same ingress", outcome.connections]
        process = rate["four models, one FastAPI process", outcome.connections]
        table.add_row(
            name,
            str(outcome.connections),
            f"{outcome.requests_per_s:.0f}",
            f"{outcome.requests_per_s / echo:.2f}",
            f"{outcome.requests_per_s / process:.1f}",
            f"{outcome.p50_ms:.1f}",
            f"{outcome.p99_ms:.1f}",
            str(outcome.failed),
        )
    return table


def _batch_rate(port: int, headers: Mapping[str, str], bodies: Sequence[Mapping[str, Any]]) -> str:
    """Decisions a second of batch_predict, 1,000 at a time, one request after the other."""
    url = f"http://{HOST}:{port}/batch_predict"
    post(url, list(bodies[-1_000:]), headers)
    started = time.perf_counter()
    requests = 10
    for n in range(requests):
        post(url, list(bodies[n * 1_000 : (n + 1) * 1_000]), headers)
    return f"batch_predict of 1,000: {requests * 1_000 / (time.perf_counter() - started):.0f} decisions a second"


@contextlib.contextmanager
def _serving(config: str) -> Iterator[int]:
    port = _free_port()
    command = [sys.executable, "-m", "deployments", "serve", "--config", config, "--port", str(port)]
    with _process(command, port, "/ready"):
        yield port


@contextlib.contextmanager
def _one_process(bundle: Bundle) -> Iterator[int]:
    port = _free_port()
    with _process([sys.executable, "-m", "benchmarks.one_process", str(bundle.path), str(port)], port, "/openapi.json"):
        yield port


@contextlib.contextmanager
def _process(command: Sequence[str], port: int, path: str) -> Iterator[None]:
    """A server for as long as this lasts, from when `path` answers 200."""
    log = Path("state") / "benchmark.log"
    with log.open("a") as output:
        server = subprocess.Popen(command, stdout=output, stderr=output, env={**os.environ, "OMP_NUM_THREADS": "1"})
        try:
            _wait(server, f"http://{HOST}:{port}{path}", log)
            yield
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(timeout=60)


def _wait(server: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise RuntimeError(f"the server ended with {server.returncode}: see {log}")
        if _answers(url):
            return
        time.sleep(0.5)
    raise RuntimeError(f"the server is not ready after {START_TIMEOUT_S:.0f} s: see {log}")


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - an address of ours on loopback
            return bool(answer.status == 200)
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def _token() -> str:
    command = [sys.executable, "-m", "deployments", "token", "--subject", "bench", "--scopes", "predict,events"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
