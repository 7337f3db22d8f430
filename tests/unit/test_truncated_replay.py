"""Stored vectors are held against the log's own files, cut off at each point's instant."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from common.catalog import Catalog, CatalogHistory
from common.clock import DAY_US
from common.counting import day_counts_of
from common.replay import POINT_SCHEMA, X_FIELD, example_table, x_column, x_matrix
from tests.logs import canonical, raw, simulated_users
from training.truncated_replay import DAYS, POINTS_PER_DAY, check_against_log, sampled_points

USERS = simulated_users(11, users=40)


@dataclass
class Store:
    """What `sampled_points` needs of examples."""

    of_log: pa.Table

    @property
    def as_of_us(self) -> np.ndarray:
        return self.of_log["as_of_us"].to_numpy()

    def table(self, columns: list[str], rows: np.ndarray) -> pa.Table:
        return self.of_log.select(columns).take(rows)

    def x(self, rows: np.ndarray) -> np.ndarray:
        return x_matrix(self.of_log)[rows]


def examples(log: pa.Table, counted: pa.Table | None = None) -> Store:
    """All points of a log; the catalog counts `counted`, or the log."""
    history = CatalogHistory(Catalog.empty(), day_counts_of(log if counted is None else counted))
    table = example_table(log, history, horizon_us=DAY_US, log_end_us=log["time_us"].to_numpy().max())
    return Store(table.sort_by("as_of_us"))


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """The log in two files, as a shop would hand it in."""
    log = raw(USERS)
    half = log.num_rows // 2
    for name, part in (("a", log.slice(0, half)), ("b", log.slice(half))):
        pq.write_table(part, tmp_path / f"{name}.parquet")
    return [tmp_path]


def test_honest_vectors_come_back_bit_for_bit(files: list[Path]):
    points = sampled_points(examples(canonical(USERS)), seed=1)
    check = check_against_log(points, files, horizon_us=DAY_US)

    assert check.passed, check.detail
    assert points.num_rows == DAYS * POINTS_PER_DAY


def test_a_catalog_that_counts_the_same_day_is_found_out(files: list[Path]):
    log = canonical(USERS)
    # every event counted a day too early: the catalog of a day then knows what happened on it
    early = log.set_column(0, "time_us", pa.array(log["time_us"].to_numpy() - DAY_US))
    points = sampled_points(examples(log, counted=early), seed=1)

    assert not check_against_log(points, files, horizon_us=DAY_US).passed


def test_a_vector_of_another_point_is_found_out(files: list[Path]):
    points = sampled_points(examples(canonical(USERS)), seed=2)
    turned = points.select(POINT_SCHEMA.names).append_column(X_FIELD, x_column(x_matrix(points)[::-1].copy()))

    assert not check_against_log(turned, files, horizon_us=DAY_US).passed
