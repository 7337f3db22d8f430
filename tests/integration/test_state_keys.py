"""Every key that serving leaves in Redis is documented, and bounded as the documentation says."""

import re

import pytest

import deployments.state
from deployments.metrics import Metrics
from deployments.monitor import LabelMonitor
from deployments.state.cache import AnswerCache
from deployments.state.experiment_store import ExperimentStore, Exposure
from deployments.state.journal import Journal, JournalStore
from deployments.state.windows import StoredEvent, WindowStore
from tests.integration.test_state_faults import EXPERIMENT
from tests.logs import NOON_US, PURCHASE, event

pytestmark = pytest.mark.anyio

_ROW = re.compile(r"^    (cc:\S+(?: id>)?)\s+(string|zset|hash|stream|set)\s{2,}(\S.*?)\s{2,}(\S.*)$", re.MULTILINE)


def documented():
    """{pattern of the key: (type, whether it has a TTL)} of the package's table."""
    table = {}
    for name, kind, _, bound in _ROW.findall(deployments.state.__doc__):
        pattern = re.sub(r"<[^>]+>", "[^:]+", name)
        table[re.compile(pattern)] = (kind, "TTL" in bound)
    return table


async def use_everything(redis):
    await ExperimentStore(redis).define(EXPERIMENT, 0)
    await ExperimentStore(redis).define(EXPERIMENT.model_copy(update={"experiment_id": "over"}), 0)
    await ExperimentStore(redis).stop("over", 1)
    await ExperimentStore(redis).expose([Exposure("checkout", "ann", "a", 0.5, NOON_US - 1)])
    await WindowStore(redis).append([StoredEvent("ann", event(0, PURCHASE), "e1")])
    await AnswerCache(redis).put([(b"digest", b"answer")], ttl_s=300)
    journal = Journal(JournalStore(redis))
    for i in range(2):
        journal.put_nowait(
            {
                "request_id": f"r{i}",
                "user_id": "ann",
                "product_id": "mug",
                "as_of_us": NOON_US + i,
                "purchase_probability": 0.5,
                "threshold": 0.5,
                "bundle_version": "v1",
            }
        )
    await journal.flush()
    labels = LabelMonitor(redis, horizon_us=1)
    await labels.mature(NOON_US + 1)
    metrics = Metrics(redis)
    metrics.inc("matured_labels_total")
    await metrics.flush()


async def test_every_key_is_documented_with_its_bound(redis):
    await use_everything(redis)
    table, met = documented(), set()

    for key in await redis.call("KEYS", "*"):
        (row,) = [row for row in table if row.fullmatch(key.decode())]
        kind, has_ttl = table[row]
        met.add(row)
        assert await redis.call("TYPE", key) == kind.encode()
        assert (await redis.call("TTL", key) > 0) == has_ttl, key

    assert met == set(table)
