"""How counts of days become the catalog's entries: sorted by key and day, then rolled in one pass."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from common.catalog_state import FAST, FIGURES, SLOW, UNKNOWN, VIEWS, Entries, roll
from common.daycounts import COLUMNS


class State(NamedTuple):
    """What is known of every key after a day of trade; `days` of them there were."""

    keys: pa.Array
    figures: NDArray[np.float64]  # (keys, FIGURES)
    days: int
    through_day: int


class Facts(NamedTuple):
    """What is to be rolled: for some keys and days of trade what the day added, or a whole state."""

    keys: pa.Array
    position: NDArray[np.int32]
    figures: Sequence[NDArray[Any]]  # a column for each of FIGURES: a shop's counts are not copied more than once
    is_state: NDArray[np.bool_]


def facts_of_state(state: State, known: pa.Array, position: int) -> Facts:
    """A state that replaces what was known before: of the keys `known` that it lacks, nothing is known any more."""
    lost = known.filter(pc.invert(pc.is_in(known, value_set=state.keys)))
    nothing = np.zeros((len(lost), len(FIGURES)))
    nothing[:, VIEWS] = UNKNOWN
    keys = pa.concat_arrays([state.keys, lost])
    figures = np.concatenate([state.figures, nothing])
    return Facts(keys, np.full(len(keys), position, np.int32), list(figures.T), np.ones(len(keys), np.bool_))


def facts_of_days(table: pa.Table, days: NDArray[np.int64], first: int) -> Facts:
    """What each of some days (sorted) added; the first of them gets the position `first`."""
    views, carts, removes, purchases, cents, high = (table[name].to_numpy() for name in COLUMNS)
    figures = (views, carts, removes, purchases, cents, views, high, np.broadcast_to(np.float64(0.0), len(table)))
    position = (first + np.searchsorted(days, table["day"].to_numpy())).astype(np.int32)
    keys = pa.concat_arrays([pa.array([], pa.string()), *table["key"].chunks])
    return Facts(keys, position, figures, np.zeros(len(table), np.bool_))


def rolled(facts: list[Facts], through_day: list[int], days: list[int]) -> tuple[pa.Array, Entries]:
    """The keys, sorted, and their entries.

    Raises:
        ValueError: a day has the counts of a key twice; `daycounts.merged` adds them up.
    """
    keys, codes = _sorted_keys(pa.concat_arrays([fact.keys for fact in facts]))
    position = np.concatenate([fact.position for fact in facts])
    order = np.lexsort((position, codes))
    row, position = codes[order], position[order]
    if ((row[1:] == row[:-1]) & (position[1:] == position[:-1])).any():
        raise ValueError("a day has the counts of a key twice")
    figures = np.empty((len(order), len(FIGURES)))
    for figure in range(len(FIGURES)):
        figures[:, figure] = np.concatenate([fact.figures[figure] for fact in facts])[order]
    is_state = np.concatenate([fact.is_state for fact in facts])[order]
    of_days = np.array(through_day, np.int64)
    roll(row, position, figures, is_state, of_days)
    offset = np.searchsorted(row, np.arange(len(keys) + 1)).astype(np.int64)
    entries = Entries(offset, position, figures, of_days, np.array([_daily(n) for n in days]))
    lock(entries)
    return keys, entries


def lock(entries: Entries) -> None:
    """Make entries read-only, as Ray's store does: the definition of features is compiled for one type alone."""
    for array in entries:
        array.setflags(write=False)


def _sorted_keys(keys: pa.Array) -> tuple[pa.Array, NDArray[np.int32]]:
    """The different keys in order, and which of them each one is."""
    encoded = keys.dictionary_encode()
    order = pc.array_sort_indices(encoded.dictionary)
    rank = np.empty(len(order), np.int32)
    rank[order.to_numpy()] = np.arange(len(order), dtype=np.int32)
    return encoded.dictionary.take(order), rank[encoded.indices.to_numpy()]


def _daily(days: int) -> tuple[float, float]:
    """What makes of a faded count the mean of a day, after some days of trade: slow, fast."""
    return tuple((1.0 - fading) / (1.0 - fading**days) if days else 0.0 for fading in (SLOW, FAST))  # type: ignore[return-value]
