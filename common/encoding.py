"""Texts as codes: one number for each different value of a column, and the catalog's keys of those values."""

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from common.daycounts import band_of

HOURS = 24

Codes = NDArray[np.int32]


class Encoded(NamedTuple):
    """A column of texts or numbers: `values[codes]`."""

    codes: Codes
    values: pa.Array


def encoded(*columns: pa.ChunkedArray) -> Encoded:
    """Columns of one meaning, one after the other, as codes; equal values have equal codes."""
    chunks = [chunk for column in columns for chunk in column.chunks]
    if not chunks:
        return Encoded(np.zeros(0, np.int32), pa.array([], pa.string()))
    whole = pa.concat_arrays(chunks).dictionary_encode()
    return Encoded(whole.indices.to_numpy(), whole.dictionary)


def encoded_bands(price: NDArray[np.float64]) -> Encoded:
    """The price band of every price."""
    prices = encoded(pa.chunked_array([pa.array(price)]))
    bands = np.array([band_of(value) for value in prices.values.to_pylist()], np.int64)
    values, of_price = np.unique(bands, return_inverse=True)
    return Encoded(of_price.astype(np.int32)[prices.codes], pa.array(values))


def keys_of(prefix: str, values: pa.Array) -> pa.Array:
    """The catalog's keys of some values."""
    return pc.binary_join_element_wise(pa.scalar(prefix), values.cast(pa.string()), "")


def category_hour_keys(categories: pa.Array, codes: NDArray[Any]) -> pa.Array:
    """The catalog's keys of categories in an hour; a code is 24 · category + hour."""
    of_hour = pa.array([f"h:{hour}" for hour in range(HOURS)])
    category, hour = np.divmod(codes, HOURS)
    return pc.binary_join_element_wise(of_hour.take(pa.array(hour)), categories.take(pa.array(category)), ":")
