"""Feature vectors in a file: Parquet with one float32 column per feature, in the order of the schema."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from common.errors import BundleError

BACKGROUND_FILE = "background.parquet"
REFERENCE_FILE = "reference.parquet"

Matrix = NDArray[np.float32]


def write(path: Path, X: Matrix, names: Sequence[str]) -> None:
    """Write vectors float32 (n, f), bit for bit, under the features' names."""
    columns = [pa.array(column, pa.float32()) for column in np.asarray(X, dtype=np.float32).T]
    pq.write_table(pa.Table.from_arrays(columns, names=list(names)), path, compression="zstd")


def read(path: Path, names: Sequence[str]) -> Matrix:
    """The vectors of a file, float32 (n, f), C-contiguous, columns in the order of `names`.

    Raises:
        BundleError: the file cannot be read or lacks one of the features.
    """
    try:
        table = pq.read_table(path, columns=list(names))
        columns = [table[name].to_numpy() for name in names]
    except (OSError, pa.ArrowException, KeyError) as error:
        raise BundleError(f"{path} does not hold vectors of these features: {error}") from error
    return np.stack(columns, axis=1).astype(np.float32) if columns else np.zeros((0, 0), np.float32)
