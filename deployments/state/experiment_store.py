"""Experiments in Redis: definitions that never change, exposures counted once, outcomes in running sums.

A purchase reaches the sums through `append_event.lua`, in the step that stores its event: every purchase of a user
within the conversion window after the exposure adds to orders and revenue, the first one is the conversion.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from common.clock import SECOND_US
from deployments.experiment_results import ArmSums, results
from deployments.experiments import Experiment, ExperimentConflict, ExperimentNotFound, StoredExperiment
from deployments.state.connection import Script, ScriptCall, StateRedis

DEFINED = "experiments"
STOPPED = "experiments-stopped"
EXPOSED = "exposed"
USERS = "exposed-users"
SUMS = "experiment-sums"

CAP = 1_000
"""How many experiments there may be."""

CONVERSION_WINDOW_S = 86_400
LATE_S = 3_600
"""How long after the window a purchase that was made in it may still arrive."""

USERS_TTL_S = 90 * 86_400
"""How long it is known who was exposed, after the last exposure."""

_SHARDS = 4_096
"""Sets of at most 512 numbers are packed, 8 bytes each: up to 2 million users of one experiment are."""


class Exposure(NamedTuple):
    """A user was shown a variant of an experiment, and the probability that was answered."""

    experiment_id: str
    user: str
    variant: str
    probability: float
    time_us: int


class ExperimentStore:
    """Defines experiments, records who saw what, and reads the sums."""

    def __init__(self, redis: StateRedis, *, window_s: int = CONVERSION_WINDOW_S, cap: int = CAP) -> None:
        self._redis = redis
        self._window_s = window_s
        self._cap = cap
        self._expose = Script.read("expose")
        self._defined = redis.key(DEFINED)
        self._stopped = redis.key(STOPPED)

    async def define(self, experiment: Experiment, now_us: int) -> StoredExperiment:
        """Define an experiment; the same definition again gives the experiment as it stands.

        Raises:
            ExperimentConflict: another definition has this id, or there are too many experiments.
            StateUnavailable: Redis does not answer.
        """
        name = experiment.experiment_id
        known, count = await self._redis.pipeline([("HEXISTS", self._defined, name), ("HLEN", self._defined)])
        if not known and count >= self._cap:
            raise ExperimentConflict(f"there are {count} experiments already")
        body = StoredExperiment(experiment=experiment, created_us=now_us).model_dump_json()
        await self._redis.call("HSETNX", self._defined, name, body)
        stored = await self.get(name)
        if stored.experiment != experiment:
            raise ExperimentConflict(f"experiment {name} has another definition", remedy="Choose another experiment_id")
        return stored

    async def get(self, experiment_id: str) -> StoredExperiment:
        """An experiment.

        Raises:
            ExperimentNotFound: there is none of this id.
            StateUnavailable: Redis does not answer.
        """
        body, stopped_us = await self._redis.pipeline(
            [("HGET", self._defined, experiment_id), ("HGET", self._stopped, experiment_id)]
        )
        if body is None:
            raise ExperimentNotFound(f"there is no experiment {experiment_id}")
        return _stored(body, stopped_us)

    async def all(self) -> list[StoredExperiment]:
        """Every experiment, newest first.

        Raises:
            StateUnavailable: Redis does not answer.
        """
        bodies, stopped = await self._redis.pipeline([("HGETALL", self._defined), ("HGETALL", self._stopped)])
        found = [_stored(body, stopped.get(name)) for name, body in bodies.items()]
        return sorted(found, key=lambda one: (-one.created_us, one.experiment.experiment_id))

    async def stop(self, experiment_id: str, now_us: int) -> StoredExperiment:
        """Stop an experiment; stopping it again changes nothing.

        Raises:
            ExperimentNotFound: there is none of this id.
            StateUnavailable: Redis does not answer.
        """
        await self.get(experiment_id)
        await self._redis.call("HSETNX", self._stopped, experiment_id, now_us)
        return await self.get(experiment_id)

    async def expose(self, records: Sequence[Exposure]) -> list[bool]:
        """Record exposures, in one round trip; False where the user was exposed before or there is no experiment.

        Raises:
            StateUnavailable: Redis does not answer; recording all of them again is safe.
        """
        replies = await self._redis.run(self._expose, [self._exposing(record) for record in records])
        return [reply == 1 for reply in replies]

    async def results(self, experiment_id: str) -> dict[str, Any]:
        """The analysis of an experiment, ready for JSON (see `deployments.experiment_results`).

        Raises:
            ExperimentNotFound: there is none of this id.
            StateUnavailable: Redis does not answer.
        """
        stored = await self.get(experiment_id)
        fields = await self._redis.call("HGETALL", self._redis.key(SUMS, experiment_id))
        return results(stored, _sums(fields, stored.phase))

    def _exposing(self, record: Exposure) -> ScriptCall:
        digest = hashlib.blake2b(record.user.encode(), digest_size=8).digest()
        number = int.from_bytes(digest, "big", signed=True)
        keys = (
            self._defined,
            self._redis.key(EXPOSED, record.user),
            self._redis.key(USERS, record.experiment_id, str(number % _SHARDS)),
            self._redis.key(SUMS, record.experiment_id),
        )
        until_us = record.time_us + self._window_s * SECOND_US
        arguments = (
            *(record.experiment_id, record.variant, 1, record.time_us, until_us, number),
            *(float(record.probability), float(record.probability) ** 2, self._window_s + LATE_S, USERS_TTL_S),
        )
        return ScriptCall(keys, arguments)


def _stored(body: bytes, stopped_us: bytes | None) -> StoredExperiment:
    fields = orjson.loads(body)
    return StoredExperiment.model_validate({**fields, "stopped_us": None if stopped_us is None else int(stopped_us)})


def _sums(fields: Mapping[bytes, bytes], phase: int) -> dict[str, ArmSums]:
    """The sums of one phase by variant, from fields `phase|variant|figure`."""
    figures: dict[str, dict[str, float]] = {}
    for field, value in fields.items():
        of_phase, variant, figure = field.decode().split("|")
        if int(of_phase) == phase:
            figures.setdefault(variant, {})[figure] = float(value)
    return {variant: ArmSums.of(of_variant) for variant, of_variant in figures.items()}
