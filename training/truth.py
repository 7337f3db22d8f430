"""The true purchase probability of a simulated shop's decision points: the best that any model could say."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from common.ensemble import Vector
from common.errors import InputError
from common.holdout import point_hashes
from training.example_store import Rows
from training.examples import Examples

_KEYS = {"user_id": "user", "user_session": "session", "product_id": "product", "as_of": "as_of_us", "kind": "kind"}
_TRUTH = "true_probability"


def true_probabilities(path: Path, examples: Examples, rows: Rows) -> Vector:
    """The true probabilities (n,) of some examples, by user, session, product, time and kind.

    Raises:
        InputError: the file cannot be read, lacks a column, or lacks one of the examples.
    """
    remedy = "Give the --truth file that simulate wrote together with this log"
    try:
        table = pq.read_table(path, columns=[*_KEYS, _TRUTH])
        known = point_hashes(_points(table))
    except (OSError, pa.ArrowException, KeyError) as error:
        raise InputError(f"{path} is not a truth file: {str(error).splitlines()[0]}", remedy=remedy) from error
    wanted = point_hashes(examples.table(list(_KEYS.values()), rows))
    order = np.argsort(known)
    at = order[np.minimum(np.searchsorted(known, wanted, sorter=order), len(known) - 1)] if len(known) else order
    missing = int((known[at] != wanted).sum()) if len(known) else len(wanted)
    if missing:
        raise InputError(f"{path} lacks {missing:,} of {len(wanted):,} decision points of the log", remedy=remedy)
    result: Vector = table[_TRUTH].to_numpy().astype(np.float64)[at]
    return result


def _points(truth: pa.Table) -> pa.Table:
    """The keys of a truth file under the names that examples have."""
    columns = {_KEYS[name]: truth[name].cast(pa.string()) for name in ("user_id", "user_session", "product_id")}
    columns["as_of_us"] = truth["as_of"].cast(pa.timestamp("us", tz="UTC")).cast(pa.int64())
    columns["kind"] = pc.equal(truth["kind"], "cart").cast(pa.int8())
    return pa.table(columns)
