"""The true purchase probability of a simulated shop's decision points: the best that any model could say."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from common.ensemble import Vector
from common.errors import InputError
from training.examples import Examples

_COLUMNS = ("user_id", "user_session", "product_id", "as_of", "kind", "true_probability")


def true_probabilities(path: Path, examples: Examples, rows: slice) -> Vector:
    """The true probabilities (n,) of some examples, by user, session, product, time and kind.

    Raises:
        InputError: the file cannot be read, lacks a column, or lacks one of the examples.
    """
    remedy = "Give the --truth file that simulate wrote together with this log"
    try:
        table = pq.read_table(path, columns=list(_COLUMNS))
    except (OSError, pa.ArrowException, KeyError) as error:
        raise InputError(f"{path} is not a truth file: {str(error).splitlines()[0]}", remedy=remedy) from error
    as_of_us = table["as_of"].cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).to_pylist()
    keys = zip(
        *(table[name].cast(pa.string()).to_pylist() for name in ("user_id", "user_session", "product_id")),
        as_of_us,
        [int(kind == "cart") for kind in table["kind"].to_pylist()],
        strict=True,
    )
    known = dict(zip(keys, table["true_probability"].to_pylist(), strict=True))
    columns = (examples.user, examples.session, examples.product, examples.as_of_us, examples.kind)
    wanted = list(zip(*(column[rows].tolist() for column in columns), strict=True))
    missing = sum(key not in known for key in wanted)
    if missing:
        raise InputError(f"{path} lacks {missing:,} of {len(wanted):,} decision points of the log", remedy=remedy)
    return np.array([known[key] for key in wanted], dtype=np.float64)
