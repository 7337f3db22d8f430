"""Live quality: predictions meet their labels when the horizon has passed.

`LabelMonitor.mature` reads the journal on, keeps what it read until its label is due, looks up whether the user bought
the product in (as_of, as_of + horizon], and counts. All that it knows is in Redis, so it can be stopped at any point
and go on, and a second one beside it changes nothing. Under heavy traffic the first predictions of each quarter of an
hour wait for their labels, a sample spread evenly over the day; so it should read at least every few seconds, since
what has left the journal (its newest 10,000) before it was read is not counted.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import orjson

from common.clock import HOUR_US, SECOND_US
from deployments.state import purchases
from deployments.state.connection import Argument, Script, ScriptCall, StateRedis
from deployments.state.journal import Entry, JournalStore
from deployments.state.purchases import PurchaseIndex, PurchaseQuestion

HORIZON_US = 24 * HOUR_US

SLOT_US = HOUR_US // 4
WAITING_PER_SLOT = 2_000
"""Predictions that wait for each slot in which labels fall due: 200,000 over a day, about 60 MB of Redis."""

SETTLED_CAP = 20_000
"""How many predictions are known to have been counted: twice the journal, where one could be met again."""

VERSION_FIELDS_CAP = 400
"""Four counts for each of 100 bundle versions; later versions are counted as `other`."""

AT_ONCE = 500

POSITION = "labels-position"
DUE = "labels-due"
WAITING = "labels-waiting"
SETTLED = "labels-settled"
QUALITY = "labels-quality"


class Prediction(NamedTuple):
    """What a label is needed for: the question, the answer, and which bundle gave it."""

    request_id: str
    user: str
    product: str
    as_of_us: int
    probability: float
    threshold: float
    bundle_version: str

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Self | None:
        """The prediction in a record of the journal, None if the record is of something else."""
        try:
            return cls(
                str(record["request_id"]),
                str(record["user_id"]),
                str(record["product_id"]),
                int(record["as_of_us"]),
                float(record["purchase_probability"]),
                float(record["threshold"]),
                str(record["bundle_version"]),
            )
        except (KeyError, TypeError, ValueError):
            return None

    def outcome(self, *, bought: bool) -> str:
        """Right or wrong, yes or no: tp, fp, tn or fn. The answer is yes from the threshold on."""
        said_yes = self.probability >= self.threshold
        return ("t" if said_yes == bought else "f") + ("p" if said_yes else "n")


@dataclass(frozen=True)
class Confusion:
    """Matured labels by what was said and what happened."""

    tp: int = 0
    fp: int = 0
    tn: int = 0
    fn: int = 0

    def __add__(self, other: "Confusion") -> "Confusion":
        return Confusion(self.tp + other.tp, self.fp + other.fp, self.tn + other.tn, self.fn + other.fn)

    @property
    def labels(self) -> int:
        """How many labels have matured."""
        return self.tp + self.fp + self.tn + self.fn

    @property
    def accuracy(self) -> float:
        """The share of right answers; NaN without labels."""
        return (self.tp + self.tn) / self.labels if self.labels else math.nan


class LabelMonitor:
    """Counts right and wrong answers per bundle version as their labels mature."""

    def __init__(
        self, redis: StateRedis, *, horizon_us: int = HORIZON_US, waiting_per_slot: int = WAITING_PER_SLOT
    ) -> None:
        self._redis = redis
        self._horizon_us = horizon_us
        self._waiting_per_slot = waiting_per_slot
        self._journal = JournalStore(redis)
        self._purchases = PurchaseIndex(redis)
        self._admit = Script.read("admit_predictions")
        self._settle = Script.read("settle_labels")
        self._position, self._due, self._waiting, self._settled, self._quality = (
            redis.key(name) for name in (POSITION, DUE, WAITING, SETTLED, QUALITY)
        )

    async def mature(self, now_us: int) -> int:
        """Read the journal to its end and count every prediction whose label is due at `now_us`; gives how many.

        Raises:
            StateUnavailable: Redis does not answer; the next call goes on from there.
        """
        while await self._read_on():
            pass
        counted = 0
        while due := await self._redis.call("ZRANGEBYSCORE", self._due, "-inf", now_us, "LIMIT", 0, AT_ONCE):
            counted += await self._settle_all(due, now_us)
        return counted

    async def quality(self) -> dict[str, Confusion]:
        """The counts of each bundle version.

        Raises:
            StateUnavailable: Redis does not answer.
        """
        counts: dict[str, dict[str, int]] = {}
        for field, count in (await self._redis.call("HGETALL", self._quality)).items():
            version, _, outcome = field.decode().rpartition("|")
            counts.setdefault(version, {})[outcome] = int(count)
        return {version: Confusion(**of_version) for version, of_version in counts.items()}

    async def accuracy(self) -> float:
        """The share of right answers among all matured labels; NaN before there are any.

        Raises:
            StateUnavailable: Redis does not answer.
        """
        return sum((await self.quality()).values(), Confusion()).accuracy

    async def _read_on(self) -> bool:
        """Take one page of the journal in; False at its end."""
        position = (await self._redis.call("GET", self._position) or b"0").decode()
        entries = await self._journal.after(position, AT_ONCE)
        if not entries:
            return False
        arguments = [position, entries[-1].entry_id, self._waiting_per_slot, SLOT_US, *self._waiting_of(entries)]
        keys = (self._position, self._due, self._waiting, self._settled)
        await self._redis.run(self._admit, [ScriptCall(keys, arguments)])
        return len(entries) == AT_ONCE

    def _waiting_of(self, entries: Sequence[Entry]) -> list[Argument]:
        arguments: list[Argument] = []
        for entry in entries:
            prediction = Prediction.of(entry.record)
            if prediction is not None:
                due_us = prediction.as_of_us + self._horizon_us
                arguments += (prediction.request_id, due_us, orjson.dumps(prediction[1:]))
        return arguments

    async def _settle_all(self, ids: Sequence[bytes], now_us: int) -> int:
        known = await self._redis.call("HMGET", self._waiting, *ids)
        due = [Prediction(id_.decode(), *orjson.loads(one)) for id_, one in zip(ids, known, strict=True) if one]
        bought = await self._purchases.bought([self._question(prediction) for prediction in due])
        arguments: list[Argument] = [SETTLED_CAP, VERSION_FIELDS_CAP, now_us]
        for prediction, has_bought in zip(due, bought, strict=True):
            outcome = prediction.outcome(bought=has_bought) if self._can_be_known(prediction, now_us) else ""
            arguments += (prediction.request_id, outcome, prediction.bundle_version)
        for id_, one in zip(ids, known, strict=True):
            if one is None:  # settled by another Monitor in the meantime, or lost
                arguments += (id_, "", "")
        keys = (self._due, self._waiting, self._settled, self._quality)
        (counted,) = await self._redis.run(self._settle, [ScriptCall(keys, arguments)])
        return int(counted)

    def _question(self, prediction: Prediction) -> PurchaseQuestion:
        as_of_us = prediction.as_of_us
        return PurchaseQuestion(prediction.user, prediction.product, as_of_us, as_of_us + self._horizon_us)

    def _can_be_known(self, prediction: Prediction, now_us: int) -> bool:
        """Whether purchases after the decision would still be in the index."""
        return now_us - prediction.as_of_us <= purchases.TTL_S * SECOND_US
