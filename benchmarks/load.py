"""A closed-loop load: so many connections, each sending its next request when the last was answered.

A client of its own, since it runs on the same two cores as the server: requests are encoded beforehand and answers
are only counted, so it costs a tenth of a core at 1,000 requests a second.
"""

import asyncio
import itertools
import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import uvloop


@dataclass(frozen=True)
class Target:
    """Where requests go, and what each of them looks like."""

    host: str
    port: int
    path: str
    headers: Mapping[str, str]
    bodies: Sequence[Mapping[str, Any] | Sequence[Mapping[str, Any]]]


@dataclass(frozen=True)
class Outcome:
    """One measurement: requests a second, and latency in milliseconds."""

    connections: int
    requests_per_s: float
    p50_ms: float
    p99_ms: float
    statuses: dict[int, int]

    @property
    def failed(self) -> int:
        """How many answers were not a 2xx."""
        return sum(count for status, count in self.statuses.items() if not 200 <= status < 300)


def measure(target: Target, *, connections: int, seconds: float, warm_up_s: float = 2.0) -> Outcome:
    """Load the target for some seconds, after a warm-up that is not counted.

    Raises:
        OSError: a connection was refused or lost.
    """
    encoded = [_encoded(target, body) for body in target.bodies]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_load(target, itertools.cycle(encoded), connections, seconds, warm_up_s))


def _encoded(target: Target, body: Any) -> bytes:
    content = json.dumps(body).encode()
    lines = [
        f"POST {target.path} HTTP/1.1",
        f"Host: {target.host}:{target.port}",
        "Content-Type: application/json",
        f"Content-Length: {len(content)}",
        *(f"{name}: {value}" for name, value in target.headers.items()),
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


async def _load(
    target: Target, requests: Iterator[bytes], connections: int, seconds: float, warm_up_s: float
) -> Outcome:
    latencies: list[float] = []
    statuses: Counter[int] = Counter()
    begin = time.perf_counter() + warm_up_s
    end = begin + seconds

    async def connection() -> None:
        reader, writer = await asyncio.open_connection(target.host, target.port)
        while (sent := time.perf_counter()) < end:
            writer.write(next(requests))
            status = await _answer(reader)
            if sent >= begin:
                latencies.append(time.perf_counter() - sent)
                statuses[status] += 1
        writer.close()

    await asyncio.gather(*(connection() for _ in range(connections)))
    p50, p99 = np.percentile(latencies, [50, 99]) * 1e3
    return Outcome(connections, len(latencies) / seconds, float(p50), float(p99), dict(statuses))


async def _answer(reader: asyncio.StreamReader) -> int:
    head = await reader.readuntil(b"\r\n\r\n")
    lowered = head.lower()
    start = lowered.index(b"content-length:") + len(b"content-length:")
    await reader.readexactly(int(lowered[start : lowered.index(b"\r\n", start)]))
    return int(head[9:12])
