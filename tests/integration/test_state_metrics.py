"""Metrics summed up in a real Redis: the cluster's figures from any process, nothing counted twice."""

import math

import pytest
from prometheus_client.parser import text_string_to_metric_families

from common.errors import StateUnavailable
from deployments.metric_specs import BY_NAME, METRICS
from deployments.metrics import MAX_LABEL_CHARS, Metrics

pytestmark = pytest.mark.anyio


def samples(text):
    """{(name, label pairs): value} of a rendering, read back by the client library's parser."""
    families = text_string_to_metric_families(text.decode())
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def value(text, name, **labels):
    return samples(text)[name, tuple(sorted(labels.items()))]


async def test_every_process_renders_the_sum_of_all(redis):
    one, other = Metrics(redis), Metrics(redis)
    one.inc("predictions_total", "ensemble", by=3)
    other.inc("predictions_total", "ensemble")
    other.inc("predictions_total", "xgboost")
    other.observe("prediction_latency_seconds", 0.02)
    await one.flush()
    await other.flush()

    rendered = await one.render()

    assert rendered == await other.render()
    assert value(rendered, "predictions_total", variant="ensemble") == 4
    assert value(rendered, "predictions_total", variant="xgboost") == 1
    assert value(rendered, "prediction_latency_seconds_count") == 1
    assert value(rendered, "state_up") == 1


async def test_figures_survive_the_process_that_counted_them(redis):
    gone = Metrics(redis)
    gone.inc("matured_labels_total", by=7)
    await gone.close()

    assert value(await Metrics(redis).render(), "matured_labels_total") == 7


async def test_a_histogram_has_what_was_observed(redis):
    metrics = Metrics(redis)
    seconds = [0.0005, 0.001, 0.03, 0.05, 0.051, 9.0, -1.0, math.nan]
    for one in seconds:
        metrics.observe("member_latency_seconds", one, "xgboost")

    rendered = await metrics.render()

    def at_most(bound):
        return value(rendered, "member_latency_seconds_bucket", member="xgboost", le=bound)

    assert [at_most(bound) for bound in ("0.001", "0.0025", "0.05", "0.1", "2.5", "+Inf")] == [4, 4, 6, 7, 7, 8]
    assert value(rendered, "member_latency_seconds_sum", member="xgboost") == pytest.approx(9.1325, abs=1e-9)
    assert value(rendered, "member_latency_seconds_count", member="xgboost") == 8


async def test_accuracy_is_unknown_until_it_is_set_and_then_the_last_one(redis):
    metrics = Metrics(redis)
    assert math.isnan(value(await metrics.render(), "model_accuracy"))

    for accuracy in (0.5, 0.75):
        metrics.set("model_accuracy", accuracy)
        await metrics.flush()

    assert value(await Metrics(redis).render(), "model_accuracy") == 0.75
    metrics.set("model_accuracy", math.nan)
    assert math.isnan(value(await metrics.render(), "model_accuracy"))


async def test_one_bundle_is_served_at_a_time(redis):
    metrics = Metrics(redis)
    metrics.describe("bundle_info", "v1")
    await metrics.flush()
    metrics.describe("bundle_info", "20261122")

    rendered = await metrics.render()

    versions = [labels for name, labels in samples(rendered) if name == "bundle_info"]
    assert versions == [(("version", "20261122"),)]
    assert value(await Metrics(redis).render(), "bundle_info", version="20261122") == 1


async def test_what_was_flushed_without_an_answer_is_counted_once(redis, monkeypatch):
    metrics = Metrics(redis)
    run = redis.run

    async def run_and_lose_the_answer(*call):
        await run(*call)
        raise StateUnavailable("no answer")

    metrics.inc("events_total", "stored", by=5)
    monkeypatch.setattr(redis, "run", run_and_lose_the_answer)
    for _ in range(2):
        with pytest.raises(StateUnavailable):
            await metrics.flush()
        metrics.inc("events_total", "stored")
    monkeypatch.undo()

    assert value(await metrics.render(), "events_total", outcome="stored") == 7


async def test_without_redis_the_last_figures_go_on_growing(own_redis, connect):
    metrics, other = (Metrics(connect(own_redis.url, timeout_s=5.0)) for _ in range(2))
    metrics.inc("predictions_total", "ensemble", by=10)
    other.inc("predictions_total", "ensemble", by=100)
    await other.flush()
    await metrics.render()
    metrics.inc("predictions_total", "ensemble", by=1_000)
    await metrics.flush()
    own_redis.kill()

    metrics.inc("predictions_total", "ensemble")
    lost = await metrics.render()
    metrics.inc("predictions_total", "ensemble")
    lost_again = await metrics.render()

    assert value(lost, "state_up") == 0
    assert value(lost, "predictions_total", variant="ensemble") == 1_111
    assert value(lost_again, "predictions_total", variant="ensemble") == 1_112
    own_redis.start()
    back = await metrics.render()
    assert value(back, "state_up") == 1
    assert value(back, "predictions_total", variant="ensemble") == 1_112


async def test_a_process_that_never_saw_redis_renders_its_own(connect):
    metrics = Metrics(connect("redis://127.0.0.1:1/0"))
    metrics.inc("degraded_total", "state", by=2)
    metrics.describe("bundle_info", "v1")

    rendered = await metrics.render()

    assert value(rendered, "degraded_total", part="state") == 2
    assert value(rendered, "bundle_info", version="v1") == 1
    assert value(rendered, "state_up") == 0


async def test_ten_thousand_users_and_hostile_strings_cannot_grow_it(redis):
    spec = BY_NAME["ab_test_predictions_total"]
    total = 0
    for process in range(4):
        metrics = Metrics(redis)
        for i in range(2_500):
            metrics.inc(spec.name, f"user-{process}-{i}", 'a"\n\\ |{}')
            total += 1
        metrics.inc(spec.name, "x" * 10_000, "y")
        total += 1
        await metrics.flush()

    rendered = samples(await Metrics(redis).render())

    counted = {labels: count for (name, labels), count in rendered.items() if name == spec.name}
    assert len(counted) == spec.cap + 1
    assert sum(counted.values()) == total
    assert counted[("experiment", "other"), ("variant", "other")] == total - spec.cap
    assert await redis.call("SCARD", redis.key("metrics-labels", spec.name)) == spec.cap


async def test_a_label_value_that_is_too_long_is_other(redis):
    metrics = Metrics(redis)
    for chars in (MAX_LABEL_CHARS, MAX_LABEL_CHARS + 1):
        metrics.inc("degraded_total", "x" * chars)

    parts = {labels for name, labels in samples(await metrics.render()) if name == "degraded_total"}

    assert parts == {(("part", "x" * MAX_LABEL_CHARS),), (("part", "other"),)}


async def test_strange_label_values_come_out_as_they_went_in(redis):
    metrics = Metrics(redis)
    strange = 'a b"\n\\ |{}é,=\u2028'
    metrics.inc("degraded_total", strange)

    assert value(await metrics.render(), "degraded_total", part=strange) == 1


async def test_every_metric_that_is_declared_is_rendered(redis):
    metrics = Metrics(redis)
    for spec in METRICS:
        labels = [f"some {label}" for label in spec.labels]
        match spec.kind:
            case "counter":
                metrics.inc(spec.name, *labels)
            case "histogram":
                metrics.observe(spec.name, 0.01, *labels)
            case "gauge":
                metrics.set(spec.name, 1.0)
            case "info":
                metrics.describe(spec.name, labels[0])

    families = list(text_string_to_metric_families((await metrics.render()).decode()))

    suffix = {"counter": "_total"}
    rendered = {family.name + suffix.get(family.type, ""): family for family in families}
    assert rendered.keys() == {spec.name for spec in METRICS} | {"state_up"}
    for spec in METRICS:
        assert rendered[spec.name].documentation == spec.help
        assert set(spec.labels) <= set(rendered[spec.name].samples[0].labels)


async def test_knows_totals_and_means_for_those_who_ask_in_numbers(redis):
    metrics = Metrics(redis)
    assert math.isnan((await metrics.figures()).mean("prediction_latency_seconds"))
    metrics.inc("predictions_total", "ensemble", by=2)
    metrics.inc("predictions_total", "xgboost", by=3)
    for seconds in (0.5, 0.25):
        metrics.observe("prediction_latency_seconds", seconds)

    figures = await metrics.figures()

    assert figures.total("predictions_total") == 5
    assert figures.total("prediction_latency_seconds") == 2
    assert figures.mean("prediction_latency_seconds") == 0.375


async def test_refuses_a_metric_or_a_label_that_is_not_declared(redis):
    metrics = Metrics(redis)

    with pytest.raises(KeyError):
        metrics.inc("predictions")
    with pytest.raises(ValueError, match="labels"):
        metrics.inc("predictions_total")
    with pytest.raises(ValueError, match="labels"):
        metrics.observe("prediction_latency_seconds", 0.1, "extra")
