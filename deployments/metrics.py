"""The cluster's metrics: every process counts, Redis sums up, any replica renders the same figures.

A process keeps what it counted since its last flush and adds it to one hash about once a second. A flush carries a
number and is sent again under it until its outcome is known, so nothing is counted twice, however Redis fails. What
a process counted in its last second is lost if it is killed, and what Redis lost (its append-only file is written
out every second) stays lost: the figures err on the side of too few.

While Redis is lost, figures wait in the process (bounded by the label sets' caps), and /metrics shows the cluster's
figures as last seen by this process with its own added, and `state_up 0`: a counter that fell back to one process'
share would look like a restart to Prometheus, and its return like a burst of traffic.
"""

import asyncio
import contextlib
import uuid
from bisect import bisect_left
from typing import NamedTuple

from common.errors import StateUnavailable
from deployments.metric_figures import COUNT, SUM, VALUE, Field, Figures, bucket, labels_text, rendered
from deployments.metric_specs import BY_NAME, OTHER, MetricSpec
from deployments.state.background import repeat
from deployments.state.connection import Argument, Script, ScriptCall, StateRedis

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

FIGURES = "metrics"
LABEL_SETS = "metrics-labels"
PROCESS = "metrics-process"

PROCESS_TTL_S = 7 * 86_400
"""How long a process' last flush is known: Redis would have to be lost that long to count a flush twice."""

FLUSH_S = 1.0
MAX_LABEL_CHARS = 100
_MAX_SECONDS = 1e6


class _Flush(NamedTuple):
    number: int
    figures: Figures


class Metrics:
    """Counts in this process; adds to the cluster's figures; renders them."""

    def __init__(self, redis: StateRedis, *, process: str = "") -> None:
        """Counters at zero; nothing is sent before `run`, `flush` or `render`.

        Args:
            redis: where the figures are summed up.
            process: a name that no other process ever has; drawn at random if empty.
        """
        self._redis = redis
        self._process = process or uuid.uuid4().hex
        self._script = Script.read("add_metrics")
        self._label_sets: dict[str, set[tuple[str, ...]]] = {}
        self._new = Figures()
        self._unsure: _Flush | None = None
        self._number = 0
        self._seen = Figures()
        self._flushing = asyncio.Lock()

    def inc(self, name: str, *labels: str, by: int = 1) -> None:
        """Count something; `labels` are the values in the order of the metric's labels.

        Raises:
            KeyError: no such metric in `metric_specs`.
            ValueError: too few or too many labels.
        """
        self._add(Field(name, self._admitted(BY_NAME[name], labels), COUNT), int(by))

    def observe(self, name: str, seconds: float, *labels: str) -> None:
        """Enter a duration into a histogram; a clock that went backwards gives 0.

        Raises:
            KeyError, ValueError: as for `inc`.
        """
        spec = BY_NAME[name]
        admitted = self._admitted(spec, labels)
        value = float(min(max(0.0, seconds), _MAX_SECONDS))
        self._add(Field(name, admitted, bucket(bisect_left(spec.buckets, value))), 1)
        self._add(Field(name, admitted, SUM), value)

    def set(self, name: str, value: float) -> None:
        """Set a gauge for the whole cluster; the last process that sets it is right."""
        self._new.numbers[Field(name, (), VALUE)] = float(value)

    def describe(self, name: str, value: str) -> None:
        """Set an info metric for the whole cluster: `value` is its one label."""
        self._new.texts[Field(name, (), VALUE)] = value

    async def flush(self) -> None:
        """Add what was counted to the cluster's figures.

        Raises:
            StateUnavailable: Redis does not answer; the figures wait for the next flush.
        """
        async with self._flushing:
            while flush := self._unsure or self._next_flush():
                self._unsure = flush
                keys = (self._redis.key(FIGURES), self._redis.key(PROCESS, self._process))
                await self._redis.run(self._script, [ScriptCall(keys, self._arguments(flush))])
                self._unsure = None
                self._seen = self._seen.plus(flush.figures)

    async def run(self, every_s: float = FLUSH_S) -> None:
        """Flush for ever; a lost Redis is waited out."""
        await repeat(self.flush, every_s, "metrics")

    async def close(self) -> None:
        """Flush what is left, if Redis answers."""
        with contextlib.suppress(StateUnavailable):
            await self.flush()

    async def figures(self) -> Figures:
        """The cluster's figures, this process' latest among them.

        Raises:
            StateUnavailable: Redis does not answer.
        """
        await self.flush()
        self._seen = Figures.read(await self._redis.call("HGETALL", self._redis.key(FIGURES)))
        return self._seen

    async def render(self) -> bytes:
        """The cluster's figures for Prometheus (`CONTENT_TYPE`); see above for when Redis is lost."""
        try:
            return rendered(await self.figures(), is_up=True)
        except StateUnavailable:
            waiting = self._unsure.figures if self._unsure else Figures()
            return rendered(self._seen.plus(waiting).plus(self._new), is_up=False)

    def _add(self, field: Field, amount: float) -> None:
        numbers = self._new.numbers
        numbers[field] = numbers.get(field, 0) + amount

    def _admitted(self, spec: MetricSpec, labels: tuple[str, ...]) -> tuple[str, ...]:
        """The label set, or `other` where this process has no room for it; Redis does the same for the cluster."""
        known = self._label_sets.setdefault(spec.name, set())
        if labels in known:
            return labels
        if len(labels) != len(spec.labels):
            raise ValueError(f"{spec.name} has the labels {spec.labels}, not {labels}")
        if len(known) >= spec.cap or any(len(label) > MAX_LABEL_CHARS for label in labels):
            return (OTHER,) * len(labels)
        known.add(labels)
        return labels

    def _next_flush(self) -> _Flush | None:
        if not self._new.numbers and not self._new.texts:
            return None
        figures, self._new = self._new, Figures()
        self._number += 1
        return _Flush(self._number, figures)

    def _arguments(self, flush: _Flush) -> list[Argument]:
        arguments: list[Argument] = [flush.number, PROCESS_TTL_S, self._redis.key(LABEL_SETS, "")]
        for field, number in flush.figures.numbers.items():
            operation = "s" if field.part == VALUE else "f" if field.part == SUM else "i"
            arguments += (*_addressed(field), operation, number)
        for field, text in flush.figures.texts.items():
            arguments += (*_addressed(field), "s", text)
        return arguments


def _addressed(field: Field) -> tuple[str, int, str, str, str]:
    other = labels_text([OTHER] * len(field.labels))
    return field.name, BY_NAME[field.name].cap, labels_text(field.labels), other, field.part
