"""What the README says, in order: a shop is simulated, a champion trained, served, asked, told, explained, scored."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.integration.serving_process import ROOT, ServingProcess, wait_until

pytestmark = pytest.mark.slow
ROUNDS = ("--trials", "2", "--time-budget-s", "20")


def run(state: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "REDIS_"))}
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env={**environment, "CARTCAST_STATE_DIR": str(state)},
        capture_output=True,
        text=True,
        timeout=600,
    )


@dataclass
class Line:
    """A served champion, and the log it was trained on."""

    state: Path
    log: Path
    server: ServingProcess
    client: httpx.Client

    def post(self, path: str, body: Any) -> Any:
        response = self.client.post(path, json=body)
        assert response.is_success, response.text
        return response.json()


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    """Two commands, as `make run` gives them."""
    state = tmp_path_factory.mktemp("state")
    log = state / "shop.parquet"
    for command in (
        ("training", "simulate", "--events", "30000", "--seed", "7", "--out", str(log)),
        ("training", "train", "--events", str(log), *ROUNDS, "--promote"),
    ):
        done = run(state, *command)
        assert done.returncode == 0, done.stderr[-3000:]
    server = ServingProcess(state, ROOT / "serve_config.yaml", free_port())
    try:
        server.wait_until_ready()
        token = run(state, "deployments", "token", "--subject", "e2e", "--scopes", "predict,events,read,experiments")
        headers = {"Authorization": f"Bearer {token.stdout.strip()}"}
        with httpx.Client(base_url=server.address, headers=headers, timeout=30) as client:
            yield Line(state, log, server, client)
    finally:
        if server.popen.poll() is None:
            server.popen.send_signal(signal.SIGINT)
            server.popen.wait(timeout=60)


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def a_decision(line: Line) -> dict[str, Any]:
    """The example request that the bundle carries."""
    manifest = next((line.state / "bundles").glob("*/manifest.json"))
    request: dict[str, Any] = json.loads(manifest.read_text())["data"]["sample_request"]
    return request


def test_the_curl_line_that_is_printed_works_when_pasted(line: Line) -> None:
    curl = line.server.out[line.server.out.index("curl ") : line.server.out.index("Ctrl-C stops it.")]

    pasted = subprocess.run(["bash", "-c", curl], capture_output=True, text=True, timeout=60)

    answer = json.loads(pasted.stdout)
    assert "error" not in answer, answer
    assert 0.0 < answer["purchase_probability"] < 1.0
    assert answer["degraded"] == []
    assert len(answer["members"]) == 4


def test_contributions_sum_to_the_probability_over_http(line: Line) -> None:
    explanation = line.post("/explain", a_decision(line))

    total = explanation["base_value"] + sum(explanation["contributions"].values())
    assert total == pytest.approx(explanation["purchase_probability"], abs=1e-6)


def test_lime_explains_on_request(line: Line) -> None:
    assert line.post("/explain?method=lime", a_decision(line))["surrogate"]["r2"] <= 1.0


def test_a_cart_event_changes_the_next_prediction(line: Line) -> None:
    decision = {**a_decision(line), "user_id": "newcomer", "session_id": "first"}
    before = line.post("/predict_purchase?explain=none", decision)

    line.post("/events", [event_of(decision, "view"), event_of(decision, "cart")])
    after = line.post("/predict_purchase?explain=none", decision)

    assert after["purchase_probability"] != before["purchase_probability"]


def event_of(decision: dict[str, Any], kind: str, at: datetime | None = None) -> dict[str, Any]:
    event = {
        "event_type": kind,
        "product_id": decision["product_id"],
        "category_code": decision["category_code"],
        "brand": decision["brand"],
        "price": decision["price"],
        "user_id": decision["user_id"],
        "user_session": decision["session_id"],
    }
    return event if at is None else {**event, "event_time": at.isoformat()}


def test_batch_scoring_says_what_http_says_for_the_same_decision_points(line: Line, tmp_path: Path) -> None:
    """Yesterday's events roll both catalogs; then the same questions are asked both ways."""
    now = datetime.now(UTC).replace(microsecond=0)
    base = a_decision(line)
    moments = [now - timedelta(days=1, minutes=3 * n) for n in range(5)] + [
        now - timedelta(seconds=9 - n) for n in range(8)
    ]
    events = [
        event_of(
            {**base, "user_id": f"both-{n % 3}", "session_id": f"s-{at.date()}-{n % 3}", "price": base["price"] + n},
            "cart" if n % 4 == 3 else "view",
            at,
        )
        for n, at in enumerate(moments)
    ]
    log, out = tmp_path / "events.parquet", tmp_path / "scores"
    columns = {name.replace("session_id", "user_session"): [event[name] for event in events] for name in events[0]}
    columns["event_time"] = [datetime.fromisoformat(text) for text in columns["event_time"]]
    pq.write_table(pa.table(columns), log)

    line.post("/events", events)
    scored = run(line.state, "deployments", "score", "--events", str(log), "--out", str(out))
    assert scored.returncode == 0, scored.stderr[-3000:]

    def rolled() -> bool:
        return all(abs(http_of(line, row, events) - row["purchase_probability"]) <= 1e-6 for row in rows)

    rows = [row for row in pq.read_table(out).to_pylist() if row["as_of"].date() == now.date()]
    assert len(rows) >= 3
    wait_until(rolled, "HTTP to say what batch scoring says", timeout_s=20)


def http_of(line: Line, row: dict[str, Any], events: list[dict[str, Any]]) -> float:
    """The probability that HTTP gives for a decision point that was scored in batch."""
    as_of = row["as_of"]
    seen = next(
        event
        for event in events
        if event["user_id"] == row["user_id"] and datetime.fromisoformat(event["event_time"]) == as_of
    )
    body = {
        "user_id": row["user_id"],
        "session_id": row["user_session"],
        "product_id": row["product_id"],
        "category_code": seen["category_code"],
        "brand": seen["brand"],
        "price": seen["price"],
        "hour": as_of.hour,
        "day_of_week": as_of.weekday(),
        "is_weekend": int(as_of.weekday() >= 5),
        "as_of": as_of.isoformat(),
    }
    probability: float = line.post("/predict_purchase?explain=none", body)["purchase_probability"]
    return probability


def test_metrics_and_performance_show_what_happened(line: Line) -> None:
    line.post("/predict_purchase?explain=none", a_decision(line))

    text = line.client.get("/metrics").text
    performance = line.client.get("/model_performance").json()

    counts = [float(value) for value in re.findall(r"^predictions_total{.*} (.+)$", text, re.MULTILINE)]
    assert sum(counts) >= 1
    assert performance["prediction_count"] >= 1
    assert 0.5 < performance["offline_metrics"]["slices"]["all"]["quality"]["ensemble"]["roc_auc"] < 1.0


def test_the_openapi_document_has_examples_that_run(line: Line) -> None:
    document = line.client.get("/openapi.json").json()

    ran = 0
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            if "example" in content:
                response = line.client.request(method, path, json=content["example"])
                assert response.is_success, (path, response.text)
                ran += 1
    assert ran >= 5


def test_stopping_leaves_no_process_and_no_port(line: Line) -> None:
    """The last test of this file: it ends the server."""
    processes = line.server.processes()

    line.server.popen.send_signal(signal.SIGINT)
    assert line.server.popen.wait(timeout=60) == 0

    assert [process for process in processes if process.is_running()] == []
    with pytest.raises(httpx.ConnectError), contextlib.closing(httpx.Client()) as client:
        client.get(f"{line.server.address}/health")
