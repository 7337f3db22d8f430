"""The embedded Redis is a real one: it is started, killed, orphaned and started again."""

import subprocess
import sys
import time

import psutil
import pytest
import redis

from common.errors import ConfigError, PortTaken, StateUnavailable
from common.processes import alive
from deployments.redis_server import RedisServer, require_redis
from tests.integration.serving_process import wait_until

STARTS_AND_WAITS = """
import sys, time
from pathlib import Path
from deployments.redis_server import RedisServer
server = RedisServer(Path(sys.argv[1]))
server.start()
print(server.url, flush=True)
time.sleep(600)
"""


@pytest.fixture
def server(tmp_path):
    with RedisServer(tmp_path / "redis") as running:
        yield running


@pytest.fixture
def client(server):
    with redis.Redis.from_url(server.url) as connected:
        yield connected


@pytest.fixture
def owner(tmp_path):
    """Another process that started a Redis over the same directory, and its URL."""
    command = [sys.executable, "-c", STARTS_AND_WAITS, str(tmp_path / "redis")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    yield process, process.stdout.readline().strip()
    process.kill()
    process.wait()
    process.stdout.close()


def test_it_answers_on_loopback_to_who_knows_the_password(server, client):
    assert client.ping()
    with pytest.raises(redis.AuthenticationError), redis.Redis(port=server.port, retry=None) as stranger:
        stranger.ping()
    listening = psutil.Process(server._process.pid).net_connections(kind="tcp")
    assert {connection.laddr.ip for connection in listening} == {"127.0.0.1"}


def test_the_password_is_in_no_argument_and_in_no_file_that_others_can_read(server, tmp_path):
    password = server.url.split("@")[0].removeprefix("redis://:")

    assert password not in " ".join(psutil.Process(server._process.pid).cmdline())
    with_password = [path for path in (tmp_path / "redis").iterdir() if password in path.read_text()]
    assert sorted(path.name for path in with_password) == ["redis.conf", "redis.password"]
    assert [oct(path.stat().st_mode & 0o777) for path in with_password] == ["0o600", "0o600"]


def test_data_and_address_survive_a_stop(tmp_path):
    with RedisServer(tmp_path) as first, redis.Redis.from_url(first.url) as client:
        client.set("kept", "yes")
    with RedisServer(tmp_path, port=first.port) as second, redis.Redis.from_url(first.url) as client:
        assert client.get("kept") == b"yes"
        assert second.url == first.url


def test_a_second_one_over_the_same_data_is_refused(server, tmp_path):
    with pytest.raises(ConfigError, match="another run uses the Redis data"):
        RedisServer(tmp_path / "redis").start()

    assert server.running


def test_a_port_that_was_asked_for_and_is_taken_is_refused(server, tmp_path):
    other = RedisServer(tmp_path / "other", port=server.port)

    with pytest.raises(PortTaken, match=f"port {server.port} .* is taken by redis-server"):
        other.start()
    other.stop()


def test_it_ends_when_its_parent_is_killed(owner):
    process, _ = owner
    server = psutil.Process(process.pid).children()[0]

    process.kill()

    wait_until(lambda: not alive([server]), "the end of redis-server", 10)


def test_one_that_outlived_its_parent_is_replaced_and_loses_nothing(server, client, tmp_path):
    client.set("kept", "yes")
    server._lock.close()  # what the end of a parent does, here without the signal that would end its Redis too

    with RedisServer(tmp_path / "redis") as successor, redis.Redis.from_url(successor.url) as connected:
        assert connected.get("kept") == b"yes"
        assert not server.running


def test_the_pidfile_of_an_ended_one_does_no_harm_to_who_has_its_number_now(tmp_path):
    (tmp_path / "redis.pid").write_text(str(psutil.Process().pid))

    with RedisServer(tmp_path) as server:
        assert server.running


def test_a_redis_of_others_is_asked_before_anything_is_started(server):
    assert require_redis(server.url) == f"127.0.0.1:{server.port}"
    with pytest.raises(StateUnavailable, match=f"Redis at 127.0.0.1:{server.port} does not answer") as refused:
        require_redis(f"redis://:secret-of-mine@127.0.0.1:{server.port}/0")
    assert "secret-of-mine" not in str(refused.value)
    with pytest.raises(ConfigError, match="REDIS_URL cannot be used"):
        require_redis("http://127.0.0.1/")


def test_it_is_up_at_once(tmp_path):
    started_s = time.monotonic()
    with RedisServer(tmp_path):
        assert time.monotonic() - started_s < 5
