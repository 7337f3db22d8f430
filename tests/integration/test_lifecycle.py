"""Real Ray, real Redis, real HAProxy: what `serve` starts is ready when it says so, and gone when it ends.

A start takes 10 to 15 s on two free cores, so most of what is asserted shares two of them: one that is killed,
and the one that follows on the same state.
"""

import json
import os
import shlex
import shutil
import signal
import time
from pathlib import Path

import httpx
import psutil
import pytest
import yaml
from mlflow import MlflowClient

from common.bundle import Manifest, Probe, seal_bundle
from common.feature_specs import SCHEMA_HASH
from common.processes import alive, left_behind
from deployments.ports import LOOPBACK, first_free, is_free
from tests.integration.serving_process import ServingProcess, wait_until

pytestmark = pytest.mark.slow


def a_bundle(path: Path, *, feature_schema: str = SCHEMA_HASH) -> Path:
    """A bundle without members: what `serve` itself looks at."""
    path.mkdir(parents=True)
    (path / "catalog.parquet").write_text("bytes")
    manifest = Manifest(
        version=path.name,
        created="2026-01-01T00:00:00Z",
        feature_schema=feature_schema,
        features=[],
        members=[],
        threshold=0.5,
        label_horizon_s=86_400,
        catalog_through_day=0,
        data={"sample_request": {"brand": "l'oreal"}},
        probe=Probe(x=[], members={}, ensemble=[]),
    )
    return seal_bundle(path, manifest).path


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A state directory with a registered champion, to be copied: making the registry takes seconds."""
    state = tmp_path_factory.mktemp("trained")
    bundle = a_bundle(state / "bundles" / "v1")
    uri = f"sqlite:///{state / 'mlflow.db'}"
    client = MlflowClient(uri, uri)
    client.create_registered_model("cartcast")
    tags = {"bundle_version": "v1", "bundle_path": str(bundle)}
    version = client.create_model_version("cartcast", str(bundle), tags=tags)
    client.set_registered_model_alias("cartcast", "champion", version.version)
    old = a_bundle(state / "bundles" / "old", feature_schema="of-older-code")
    altered = a_bundle(state / "bundles" / "altered")
    (altered / "catalog.parquet").write_text("bytez")
    for path in (old, altered):
        tags = {"bundle_version": path.name, "bundle_path": str(path)}
        client.create_model_version("cartcast", str(path), tags=tags)
    return state


@pytest.fixture(scope="module")
def started(tmp_path_factory, trained):
    """Starts `serve` with the placeholder application; whatever happens, nothing of it survives the tests."""
    all_started = []

    def start(*, state: Path | None = None, port: int | None = None, args: dict | None = None, **options):
        if state is None:
            state = tmp_path_factory.mktemp("state")
            shutil.copytree(trained, state, dirs_exist_ok=True)
        config = state / "serve.yaml"
        application = {"name": "cartcast", "import_path": "tests.integration.placeholder_app:build", "args": args or {}}
        # an environment of its own for one deployment: the hook that keeps replicas on loopback must survive it
        member = {"name": "Member", "ray_actor_options": {"runtime_env": {"env_vars": {"OMP_NUM_THREADS": "1"}}}}
        config.write_text(yaml.safe_dump({"applications": [{**application, "deployments": [member]}]}))
        process = ServingProcess(state, config, port or first_free(LOOPBACK, 18_000), **options)
        all_started.append(process)
        return process

    yield start
    for process in all_started:
        process.discard()


@pytest.fixture(scope="module")
def killed(started):
    """A run that was ready, was used, and whose serving process was killed without a chance to clean up."""
    process = started()
    process.wait_until_ready()
    process.counted = httpx.get(f"{process.address}/facts").json()["counted"]
    process.members = process.processes()
    process.member_names = {member.name() for member in process.members}
    os.kill(process.serving_pid, signal.SIGKILL)
    process.code = process.wait(30)
    return process


@pytest.fixture(scope="module")
def served(started, killed):
    """A run on the state of the killed one."""
    process = started(state=killed.state, port=killed.port)
    process.wait_until_ready()
    return process


def test_a_killed_run_leaves_no_process_and_no_taken_port(killed):
    assert killed.code == 128 + signal.SIGKILL
    assert alive(killed.members) == []
    assert {"redis-server", "haproxy", "raylet", "gcs_server"} <= killed.member_names
    assert is_free(LOOPBACK, killed.port)


def test_starting_again_after_a_kill_works_and_finds_the_data(killed, served):
    assert httpx.get(f"{served.address}/facts").json()["counted"] == killed.counted + 1


def test_what_is_printed_works_when_pasted(served):
    command = served.out[served.out.index("curl -s") : served.out.index("\n\nCtrl-C")]
    words = shlex.split(command.replace("\\\n", ""))
    headers = dict(words[at + 1].split(": ") for at, word in enumerate(words) if word == "-H")

    answer = httpx.post(words[2], headers=headers, content=words[words.index("-d") + 1])

    assert answer.status_code == 200
    assert answer.json()["asked"]["brand"] == "l'oreal"
    assert answer.json()["by"] == "operator"
    assert f"Cartcast v1 is ready at {served.address}" in served.out


def test_ready_means_that_no_request_fails_from_then_on(served):
    answers = [httpx.get(f"{served.address}/ready").status_code for _ in range(50)]

    assert answers == [200] * 50


def test_nothing_listens_beyond_loopback(served):
    listening = {
        (connection.laddr.ip, process.name())
        for process in served.processes()
        for connection in process.net_connections(kind="tcp")
        if connection.status == psutil.CONN_LISTEN
    }

    assert {"haproxy", "redis-server", "raylet"} <= {name for _, name in listening}
    assert {ip for ip, _ in listening} <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}


def test_no_secret_shows_in_arguments_environments_or_logs(served):
    secrets = [
        (served.state / "redis" / "redis.password").read_text(),
        (served.state / "jwt.secret").read_text(),
        (served.state / "ray.token").read_text(),
    ]
    shown = [json.dumps(httpx.get(f"{served.address}/facts").json()), served.err]
    for process in served.processes():
        shown += [*process.cmdline(), *process.environ().values()]
    for file in served.run_directory.rglob("*"):
        if file.is_file():
            shown.append(file.read_text(errors="replace"))

    assert [text for text in shown for secret in secrets if secret in text] == []
    for name in ("jwt.secret", "ray.token", "redis.url", "redis/redis.conf", "redis/redis.password"):
        assert (served.state / name).stat().st_mode & 0o077 == 0


def test_a_second_run_on_the_same_state_is_refused_in_one_line(started, served):
    second = started(state=served.state, port=first_free(LOOPBACK, 19_000))

    assert second.wait() == 2
    assert second.error_lines == [
        f"error: process {served.serving_pid} serves from {served.state} already. "
        f"Stop it with: kill {served.serving_pid}, or give this one its own CARTCAST_STATE_DIR"
    ]
    assert httpx.get(f"{served.address}/ready").status_code == 200


def test_a_taken_port_is_refused_in_one_line_that_says_who_has_it(started, served):
    second = started(port=served.port)

    assert second.wait() == 2
    assert len(second.err.splitlines()) == 1
    assert f"error: port {served.port} on 127.0.0.1, for the service, is taken by haproxy (process " in second.err
    assert "--port" in second.err
    assert left_behind(second.run_directory) == []


def test_a_redis_that_dies_is_started_again_over_its_data(served):
    before = httpx.get(f"{served.address}/facts").json()["counted"]
    redis = next(process for process in served.processes() if process.name() == "redis-server")
    wait_until(lambda: b"counted" in (served.state / "redis" / "appendonly.aof").read_bytes(), "the write to disk", 5)

    redis.kill()
    served.wait_until_said("starting it again")
    wait_until(lambda: httpx.get(f"{served.address}/facts").status_code == 200, "an answer with Redis", 20)

    # each try while Redis was away could have been counted or not; what was there before is not lost
    assert httpx.get(f"{served.address}/facts").json()["counted"] > before


def test_ctrl_c_ends_everything_even_when_it_is_pressed_again_and_again(served):
    members = served.processes()
    pressed_s = time.monotonic()
    while served.popen.poll() is None and time.monotonic() < pressed_s + 60:
        served.press_ctrl_c()
        time.sleep(0.2)  # an impatient user

    assert served.popen.poll() == 0
    assert not alive(members)
    assert left_behind(served.run_directory) == []
    assert is_free(LOOPBACK, served.port)
    assert not served.run_directory.exists()
    assert not (served.state / "redis.url").exists()
    assert "Traceback" not in served.err


def test_an_application_that_breaks_is_reported_with_its_own_error_and_cleaned_up(started):
    process = started(args={"breaks": True})

    assert process.wait() == 2
    assert process.error_lines == [
        "error: the application does not start: BundleError: the bundle has no trees. Train it again"
    ]
    assert "Traceback" not in process.err
    assert process.out == ""
    assert left_behind(process.run_directory) == []
    assert is_free(LOOPBACK, process.port)
    shutil.rmtree(process.run_directory)  # kept for its logs


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_ray_starts_leaves_nothing(started, number):
    process = started()
    process.wait_until_said("starting Ray")
    wait_until(lambda: len(process.processes()) > 2, "the first process of Ray")
    members = process.processes()

    process.popen.send_signal(number)

    assert process.wait(60) == 128 + number
    assert not alive(members)
    assert left_behind(process.run_directory) == []
    assert not process.run_directory.exists()
    assert "Traceback" not in process.err


@pytest.mark.parametrize("who", ["the parent", "the guardian"])
def test_the_end_of_who_started_it_ends_it_too(started, who):
    process = started(command=["/bin/sh", "-c", '"$@" & wait', "sh"] if who == "the parent" else None)
    process.wait_until_said("starting Ray")
    members = process.processes()

    os.kill(process.popen.pid, signal.SIGKILL)

    process.popen.wait()
    wait_until(lambda: not alive(members), "the end of its children", 60)
    wait_until(lambda: left_behind(process.run_directory) == [], "the end of what they started", 10)
    assert not process.run_directory.exists()


def test_a_ray_that_dies_is_reported_and_cleaned_up(started):
    process = started()
    process.wait_until_ready()
    members = process.processes()

    next(member for member in members if member.name() == "gcs_server").kill()

    assert process.wait(30) == 2
    assert process.error_lines[0].startswith("error: Ray's gcs_server ended. Start again; the logs are in ")
    assert alive(members) == []
    shutil.rmtree(process.run_directory)  # kept for its logs


@pytest.mark.parametrize(
    ("version", "why"),
    [("old", "bundle old was fitted with feature schema of-older-code"), ("altered", "its SHA-256 differs")],
)
def test_a_bundle_that_cannot_be_trusted_is_refused_before_ray_is_started(started, version, why):
    process = started(more=["--version", version])

    assert process.wait() == 2
    assert len(process.err.splitlines()) == 1
    assert process.err.startswith("error: ")
    assert why in process.err
    assert not process.run_directory.exists()


def test_without_a_champion_it_says_how_to_get_one(started, tmp_path):
    process = started(state=tmp_path)

    assert process.wait() == 2
    assert len(process.err.splitlines()) == 1
    assert process.err.startswith("error: there is no champion: nothing was trained yet")
    assert "make run" in process.err
