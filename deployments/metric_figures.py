"""Figures of metrics: how a hash holds them, how they add up, and how Prometheus reads them."""

import math
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate
from typing import NamedTuple

import orjson
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from deployments.metric_specs import BY_NAME, METRICS, STATE_UP, MetricSpec

COUNT, SUM, VALUE = "n", "sum", "value"
"""Parts of a counter, of a histogram (beside its buckets) and of a gauge."""


class Field(NamedTuple):
    """Where one number stands: metric, label values and part."""

    name: str
    labels: tuple[str, ...]
    part: str


def bucket(i: int) -> str:
    """The part of a histogram that counts what falls into its i-th bucket alone."""
    return f"b{i}"


def labels_text(labels: Iterable[str]) -> str:
    """Label values as the hash's fields hold them."""
    return orjson.dumps(list(labels)).decode()


class Figures:
    """Sums by field, as read from the hash or as kept by one process."""

    def __init__(self, numbers: Mapping[Field, float] | None = None, texts: Mapping[Field, str] | None = None) -> None:
        self.numbers = dict(numbers or {})
        self.texts = dict(texts or {})

    @classmethod
    def read(cls, stored: Mapping[bytes, bytes]) -> "Figures":
        """The figures of a hash with fields `metric labels part`; metrics of other releases are left out."""
        figures = cls()
        for key, value in stored.items():
            name, _, rest = key.decode().partition(" ")
            labels, _, part = rest.rpartition(" ")
            spec = BY_NAME.get(name)
            if spec is None:
                continue
            field = Field(name, tuple(orjson.loads(labels)), part)
            if spec.kind == "info":
                figures.texts[field] = value.decode()
            else:
                figures.numbers[field] = float(value)
        return figures

    def plus(self, other: "Figures") -> "Figures":
        """These figures and others: sums add up, what was set last holds."""
        numbers = dict(self.numbers)
        for field, number in other.numbers.items():
            numbers[field] = number if field.part == VALUE else numbers.get(field, 0.0) + number
        return Figures(numbers, {**self.texts, **other.texts})

    def total(self, name: str) -> float:
        """How often something was counted or observed, over all label sets."""
        return sum(number for field, number in self.numbers.items() if field.name == name and field.part != SUM)

    def mean(self, name: str) -> float:
        """The mean of what a histogram observed; NaN before it observed anything."""
        observed = sum(number for field, number in self.numbers.items() if field.name == name and field.part == SUM)
        count = self.total(name)
        return observed / count if count else math.nan


class _Snapshot(Collector):
    """Figures at one instant, for the client library to write down."""

    def __init__(self, figures: Figures, is_up: bool) -> None:
        self._figures = figures
        self._is_up = is_up

    def collect(self) -> Iterator[Metric]:
        by_metric: dict[str, dict[tuple[str, ...], dict[str, float | str]]] = {}
        for held in (self._figures.numbers, self._figures.texts):
            for field, value in held.items():
                by_metric.setdefault(field.name, {}).setdefault(field.labels, {})[field.part] = value
        for spec in METRICS:
            yield _family(spec, by_metric.get(spec.name, {}))
        yield GaugeMetricFamily(STATE_UP.name, STATE_UP.help, value=float(self._is_up))


def rendered(figures: Figures, *, is_up: bool) -> bytes:
    """The figures in Prometheus' text format 0.0.4."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Snapshot(figures, is_up))
    return generate_latest(registry)


def _family(spec: MetricSpec, sets: Mapping[tuple[str, ...], Mapping[str, float | str]]) -> Metric:
    """One metric; without labels it is there from the start, at 0 (a gauge at NaN)."""
    if not spec.labels and not sets:
        sets = {(): {}}
    ordered = sorted(sets.items())
    if spec.kind == "counter":
        counter = CounterMetricFamily(spec.name, spec.help, labels=spec.labels)
        for labels, parts in ordered:
            counter.add_metric(labels, float(parts.get(COUNT, 0.0)))
        return counter
    if spec.kind == "histogram":
        histogram = HistogramMetricFamily(spec.name, spec.help, labels=spec.labels)
        for labels, parts in ordered:
            histogram.add_metric(labels, _cumulative(spec, parts), float(parts.get(SUM, 0.0)))
        return histogram
    gauge = GaugeMetricFamily(spec.name, spec.help, labels=spec.labels)
    for labels, parts in ordered:
        if spec.kind == "info":
            gauge.add_metric([str(parts[VALUE])], 1.0)
        else:
            gauge.add_metric(labels, float(parts.get(VALUE, math.nan)))
    return gauge


def _cumulative(spec: MetricSpec, parts: Mapping[str, float | str]) -> list[tuple[str, float]]:
    bounds = [*(str(bound) for bound in spec.buckets), "+Inf"]
    counts = (float(parts.get(bucket(i), 0.0)) for i in range(len(bounds)))
    return list(zip(bounds, accumulate(counts), strict=True))
