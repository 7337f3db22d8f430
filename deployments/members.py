"""A base model as a deployment of its own, and the fan-out that asks all of them under one deadline."""

import asyncio
import gc
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from common.bundle import open_bundle
from common.errors import BundleError
from common.feature_specs import SCHEMA_HASH, WIDTH
from common.members import adapter

Vector = NDArray[np.float64]


class Member:
    """One member of one or more bundle versions, answering with calibrated probabilities.

    Vectors and probabilities cross processes as raw bytes (little-endian, row-major): a fan-out serialises its
    matrix once, and a member spends nothing on unpacking.
    """

    def __init__(self, name: str, bundle_path: str, *, threads: int = 1) -> None:
        self._name = name
        self._threads = threads
        self._versions: dict[str, Any] = {}
        self.load(bundle_path)
        # the models' heaps never die: leave them out of every later collection
        gc.collect()
        gc.freeze()

    def load(self, bundle_path: str) -> str:
        """Load this member of a bundle, beside the versions that are already served; returns the version."""
        path = Path(bundle_path)
        manifest = open_bundle(path, feature_schema=SCHEMA_HASH, only=()).manifest
        entry = manifest.member(self._name)
        bundle = open_bundle(path, feature_schema=SCHEMA_HASH, only=[entry.file])
        margin = adapter(entry.kind).load(bundle.file(entry.file), threads=self._threads)
        self._versions[bundle.version] = (margin, entry.calibration)
        return bundle.version

    async def predict(self, version: str, rows: bytes) -> bytes:
        """Probabilities, float64 (n,) as bytes, of vectors, float32 (n, f) as bytes.

        Raises:
            BundleError: this replica does not serve that version.
        """
        known = self._versions.get(version)
        if known is None:
            raise BundleError(f"{self._name} does not serve bundle {version}")
        margin, calibration = known
        matrix = np.frombuffer(rows, dtype=np.float32).reshape(-1, WIDTH)
        return calibration.probability(margin(matrix)).tobytes()  # type: ignore[no-any-return]


class MemberClient(Protocol):
    """How a member is asked; a Serve handle in production."""

    async def predict(self, version: str, rows: bytes) -> bytes: ...


@dataclass(frozen=True)
class Opinions:
    """What came back in time: probabilities float64 (n,) by member, and why the others are missing."""

    probabilities: dict[str, Vector]
    missing: dict[str, str] = field(default_factory=dict)
    latency_s: dict[str, float] = field(default_factory=dict)


async def ask_members(
    clients: Mapping[str, MemberClient], version: str, matrix: NDArray[np.float32], *, deadline_s: float
) -> Opinions:
    """Ask every member for the same rows; what is late, fails or makes no sense is left out, never waited for."""
    rows = matrix.tobytes()
    loop = asyncio.get_running_loop()
    started = loop.time()
    finished_at: dict[str, float] = {}

    async def ask(name: str, client: MemberClient) -> bytes:
        reply = await client.predict(version, rows)
        finished_at[name] = loop.time() - started
        return reply

    tasks = {name: loop.create_task(ask(name, client)) for name, client in clients.items()}
    done, late = await asyncio.wait(tasks.values(), timeout=deadline_s)
    for task in late:
        task.cancel()
    probabilities: dict[str, Vector] = {}
    missing: dict[str, str] = {}
    for name, task in tasks.items():
        if task not in done:
            missing[name] = "late"
            continue
        opinion = _read(task, len(matrix))
        if isinstance(opinion, str):
            missing[name] = opinion
        else:
            probabilities[name] = opinion
    return Opinions(probabilities, missing, finished_at)


def _read(task: "asyncio.Task[bytes]", rows: int) -> Vector | str:
    """The probabilities that a finished task holds, or why they can't be used."""
    if task.cancelled() or task.exception() is not None:
        return "failed"
    reply = task.result()
    if len(reply) != 8 * rows:
        return "invalid"
    values = np.frombuffer(reply, dtype=np.float64)
    return values if _are_probabilities(values) else "invalid"


def _are_probabilities(values: Vector) -> bool:
    return bool(((values >= 0.0) & (values <= 1.0)).all())  # false for NaN too
