"""Every metric at /metrics: name, kind, labels, and one line of meaning each.

Label values are bounded: a metric has at most `cap` label sets in the whole cluster, and what comes after them is
counted under `other`. Values that clients choose freely (user ids, paths) are no labels at all.
"""

from typing import Literal, NamedTuple

OTHER = "other"
"""The value of every label of a label set for which there was no room."""

LATENCY_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""Upper bounds of the latency histograms, seconds; 50 ms is the goal at full load."""

Kind = Literal["counter", "histogram", "gauge", "info"]


class MetricSpec(NamedTuple):
    """One metric; `cap` bounds its label sets, `buckets` are a histogram's upper bounds."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    help: str
    cap: int = 1
    buckets: tuple[float, ...] = ()


def _counter(name: str, labels: tuple[str, ...], help: str, cap: int = 1) -> MetricSpec:  # noqa: A002
    return MetricSpec(name, "counter", labels, help, cap)


def _seconds(name: str, labels: tuple[str, ...], help: str, cap: int = 1) -> MetricSpec:  # noqa: A002
    return MetricSpec(name, "histogram", labels, help, cap, LATENCY_BUCKETS_S)


METRICS: tuple[MetricSpec, ...] = (
    _counter("predictions_total", ("variant",), "Decisions answered, by the variant that answered.", 64),
    _seconds("prediction_latency_seconds", (), "From a decision's arrival at the router to its answer."),
    MetricSpec("model_accuracy", "gauge", (), "Share of right answers among matured labels; NaN before there are any."),
    _counter(
        "ab_test_predictions_total", ("experiment", "variant"), "Decisions answered as part of an experiment.", 200
    ),
    _counter("member_predictions_total", ("member", "outcome"), "Rows asked of a member, by what came of it.", 64),
    _seconds("member_latency_seconds", ("member",), "One call of a member, whatever its rows.", 16),
    _counter("degraded_total", ("part",), "Decisions answered without a part of the service.", 32),
    _counter("cache_requests_total", ("outcome",), "Decisions looked up in the answer cache: hit, miss or error.", 8),
    _counter("events_total", ("outcome",), "Events received: stored, duplicate or refused.", 8),
    _counter("http_requests_total", ("route", "status"), "HTTP requests by route template and status.", 256),
    _counter("matured_labels_total", (), "Predictions whose label has become known."),
    _counter("journal_dropped_total", (), "Predictions that were not written to the journal."),
    _counter("exposures_dropped_total", (), "Decisions shown in an experiment that its sums will not know of."),
    _counter("explanations_total", ("method", "outcome"), "Explanations asked for, by what came of them.", 16),
    MetricSpec("bundle_info", "info", ("version",), "The bundle version served, as a label; always 1."),
)
"""What processes record and Redis sums up."""

STATE_UP = MetricSpec(
    "state_up", "gauge", (), "1 if Redis answered this scrape; if 0, what other processes count is missing."
)
"""The one metric that a process knows by itself."""

BY_NAME = {spec.name: spec for spec in METRICS}
