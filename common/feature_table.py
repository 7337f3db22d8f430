"""docs/features.md, written from the specs: `python -m common.feature_table > docs/features.md`."""

from itertools import groupby

from common.feature_specs import REVISION, SPECS, Spec
from common.window import MAX_AGE_DAYS, MAX_EVENTS

GROUPS = {
    "request": "What the request says",
    "product": "This product in this session",
    "session": "This session",
    "price": "The price beside other prices",
    "user": "The user before this session",
    "catalog": "What the shop knew on the eve of the day",
}

INTRODUCTION = f"""# Features

Every column of a feature vector, in its order. Written from `common/feature_specs.py` by
`python -m common.feature_table > docs/features.md`; a test fails where the two differ.

A vector is a pure function of a question (who, in which session, which product at which price, as of when), of the
user's window (the newest {MAX_EVENTS} events up to as_of, none older than {MAX_AGE_DAYS} days) and of the catalog as it
stood at the end of the last day of trade before as_of. Training, serving and batch scoring call the same compiled
function (`common/features.py`) and get the same bits. Durations end at as_of; {MAX_AGE_DAYS * 86_400:,} s stands for
"not within the window". A product that is asked about without having been viewed or carted in the session counts as
viewed at as_of. Rates are smoothed towards those of the category or of the shop: no stranger has a rate of zero.
"""


def markdown() -> str:
    """The whole page."""
    tables = [_table(GROUPS[name], list(specs)) for name, specs in groupby(SPECS, key=lambda spec: spec.group)]
    count = f"\n{len(SPECS)} features, revision {REVISION}.\n"
    return "\n".join([INTRODUCTION + count, *tables])


def _table(title: str, specs: list[Spec]) -> str:
    rows = [f"| `{spec.name}` | {spec.unit} | {_range(spec)} | {spec.meaning} |" for spec in specs]
    return "\n".join([f"## {title}", "", "| name | unit | range | meaning |", "| --- | --- | --- | --- |", *rows, ""])


def _range(spec: Spec) -> str:
    return f"{_bound(spec.low)} to {_bound(spec.high)}"


def _bound(value: float) -> str:
    return {float("inf"): "∞", float("-inf"): "-∞"}.get(value, f"{value:,.0f}")


if __name__ == "__main__":
    print(markdown(), end="")
