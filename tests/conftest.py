"""What tests of every level share: a real Redis."""

import os
import random
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from deployments import ports
from deployments.redis_server import RedisServer
from deployments.state.connection import StateRedis

# read when Ray is imported, which is later: clusters that tests start listen on 127.0.0.1 alone
os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")

TEST_DATABASE = 9
"""Emptied before each test that asks for `redis`; a service under test keeps its state in database 0."""


def _free_port() -> int:
    """From a random start, so that two runs of the tests on one machine seldom meet."""
    return ports.first_free(ports.LOOPBACK, random.randrange(20_000, 30_000))


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Redis that lives as long as the tests run."""
    with RedisServer(tmp_path_factory.mktemp("redis"), port=_free_port()) as server:
        yield server.url


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[StateRedis]:
    """An empty Redis; patient, since a busy machine is no reason to fail."""
    url = redis_url.rpartition("/")[0] + f"/{TEST_DATABASE}"
    redis = StateRedis.connect(url, timeout_s=5.0, rest_s=0.0)
    await redis.call("FLUSHDB")
    yield redis
    await redis.aclose()


class OwnRedis:
    """A Redis of one test, to be stopped, killed and started again."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._server = RedisServer(directory, port=_free_port())
        self._server.start()
        self.url = self._server.url

    def freeze(self) -> None:
        """Stop it in the middle of whatever it does; connections stay open and unanswered."""
        os.kill(self._pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        os.kill(self._pid, signal.SIGCONT)

    def kill(self) -> None:
        """End it without a chance to save anything."""
        os.kill(self._pid, signal.SIGKILL)
        self._server.stop()

    def start(self) -> None:
        """Start it again at the same address, on the same data."""
        self._server.start()

    def end(self) -> None:
        """Stop it for good, frozen or not."""
        if self._server.running:
            self.thaw()
        self._server.stop()

    @property
    def _pid(self) -> int:
        return int((self._directory / "redis.pid").read_text())


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[OwnRedis]:
    """A Redis that this test alone uses, and may harm."""
    server = OwnRedis(tmp_path / "redis")
    yield server
    server.end()


@pytest.fixture
async def connect() -> AsyncIterator[Callable[..., StateRedis]]:
    """Opens connections to a Redis and closes them in the end."""
    opened: list[StateRedis] = []

    def open_one(url: str, *, timeout_s: float = 0.2, rest_s: float = 0.0, prefix: str = "cc:") -> StateRedis:
        opened.append(StateRedis.connect(url, timeout_s=timeout_s, rest_s=rest_s, prefix=prefix))
        return opened[-1]

    yield open_one
    for redis in opened:
        await redis.aclose()
