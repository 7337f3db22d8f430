"""One Redis with bounded waits and one error: whatever goes wrong is `StateUnavailable`, and soon.

The client library's own retries are off: its default waits for seconds, and everything here is either repeated by
the caller or not worth repeating. After a timeout Redis gets a rest: for `rest_s` every call is refused at once, so
that a Redis that hangs costs one call its deadline now and then, not every request.
"""

import asyncio
import hashlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from common.errors import ConfigError, StateUnavailable

Argument = str | bytes | int | float
Command = Sequence[Argument]

PREFIX = "cc:"
"""What every key of Cartcast begins with."""

TIMEOUT_S = 0.2
REST_S = 0.5
MAX_CONNECTIONS = 16


class Script(NamedTuple):
    """A Lua script and the digest that Redis knows it by."""

    source: bytes
    sha: str

    @classmethod
    def read(cls, name: str) -> "Script":
        """The script `name`.lua beside this file."""
        source = Path(__file__).with_name(f"{name}.lua").read_bytes()
        return cls(source, hashlib.sha1(source, usedforsecurity=False).hexdigest())


class ScriptCall(NamedTuple):
    """One run of a script."""

    keys: Sequence[str | bytes]
    arguments: Sequence[Argument]


class StateRedis:
    """The Redis that holds the serving state; one for each event loop."""

    def __init__(
        self,
        redis: Redis,
        *,
        deadline_s: float = 2 * TIMEOUT_S,
        rest_s: float = REST_S,
        prefix: str = PREFIX,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._redis = redis
        self._deadline_s = deadline_s
        self._rest_s = rest_s
        self._prefix = prefix
        self._monotonic = monotonic
        self._rests_until = -1.0

    @classmethod
    def connect(
        cls,
        url: str,
        *,
        timeout_s: float = TIMEOUT_S,
        rest_s: float = REST_S,
        prefix: str = PREFIX,
        max_connections: int = MAX_CONNECTIONS,
    ) -> Self:
        """The Redis at `url`; nothing is sent before the first call.

        Args:
            url: redis://, rediss:// or unix://.
            timeout_s: the longest wait for a connection, and for each answer; a call takes at most twice this.
            rest_s: how long calls are refused after one that timed out.
            prefix: what every key begins with.
            max_connections: a call that finds all of them busy waits for one, at most `timeout_s`.

        Raises:
            ConfigError: the URL is not one of a Redis.
        """
        try:
            pool = BlockingConnectionPool.from_url(
                url,
                max_connections=max_connections,
                timeout=timeout_s,
                socket_timeout=timeout_s,
                socket_connect_timeout=timeout_s,
                retry=Retry(NoBackoff(), 0),
                protocol=2,  # spares the handshake; nothing here needs pushes
                driver_info=None,
            )
        except ValueError as error:
            raise ConfigError(f"the address of Redis cannot be used: {error}", remedy="Correct REDIS_URL") from error
        return cls(Redis(connection_pool=pool), deadline_s=2 * timeout_s, rest_s=rest_s, prefix=prefix)

    def key(self, *parts: str) -> str:
        """A key of Cartcast: `cc:` and the parts, joined by colons."""
        return self._prefix + ":".join(parts)

    async def call(self, *command: Argument) -> Any:
        """The reply to one command.

        Raises:
            StateUnavailable: no reply in time, no connection, or an error of Redis.
        """
        return (await self.pipeline([command]))[0]

    async def pipeline(self, commands: Sequence[Command]) -> list[Any]:
        """The replies to some commands, in one round trip; each is atomic, all of them together are not.

        Raises:
            StateUnavailable: as for `call`. Some of the commands may have been carried out.
        """
        return [_checked(reply) for reply in await self._replies(commands)]

    async def run(self, script: Script, calls: Sequence[ScriptCall]) -> list[Any]:
        """The replies to some runs of one script, in one round trip once Redis knows the script.

        Raises:
            StateUnavailable: as for `pipeline`.
        """
        commands = [("EVALSHA", script.sha, len(call.keys), *call.keys, *call.arguments) for call in calls]
        replies = await self._replies(commands)
        unknown = [i for i, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
        if unknown:  # those were not run, so running them now repeats nothing
            again = await self._replies([("SCRIPT LOAD", script.source), *(commands[i] for i in unknown)])
            for i, reply in zip(unknown, again[1:], strict=True):
                replies[i] = reply
        return [_checked(reply) for reply in replies]

    async def aclose(self) -> None:
        """Close the connections."""
        await self._redis.aclose(close_connection_pool=True)

    async def _replies(self, commands: Sequence[Command]) -> list[Any]:
        if not commands:
            return []
        self._refuse_while_resting()
        pipeline = self._redis.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        try:
            async with asyncio.timeout(self._deadline_s):
                replies: list[Any] = await pipeline.execute(raise_on_error=False)
        except (RedisTimeoutError, TimeoutError) as error:
            self._rests_until = self._monotonic() + self._rest_s
            raise StateUnavailable("Redis does not answer in time", remedy="Look at its load and its log") from error
        except (RedisConnectionError, OSError) as error:
            raise StateUnavailable(
                f"Redis cannot be reached: {str(error).rstrip('.')}", remedy="Start it, or correct REDIS_URL"
            ) from error
        except RedisError as error:
            raise _refused(error) from error
        return replies

    def _refuse_while_resting(self) -> None:
        if self._monotonic() < self._rests_until:
            raise StateUnavailable("Redis did not answer in time a moment ago", remedy="Look at its load and its log")


def _checked(reply: Any) -> Any:
    if isinstance(reply, RedisError):
        raise _refused(reply) from reply
    return reply


def _refused(error: RedisError) -> StateUnavailable:
    """The error for a command that Redis did not carry out; it names what Redis said, never the command's data."""
    return StateUnavailable(f"Redis refused a command: {error}", remedy="Look at its memory limit, access and log")
