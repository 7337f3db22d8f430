"""Batch scoring on a real Ray: every point once, the bundle's own probabilities, the vectors of training."""

import io
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import ray
from rich.console import Console

from common.bundle import MEMBER_KINDS
from common.catalog import Catalog, CatalogHistory
from common.clock import DAY_US, day_of
from common.ensemble import combine
from common.errors import BundleError, ConfigError, EventLogError, InputError
from common.members import adapter
from common.replay import UserEvents, example_table, x_matrix
from deployments.scoring.output import REJECTED
from deployments.scoring.pipeline import Job, Summary, score
from deployments.scoring.progress import ScoringProgress
from tests.bundles import small_bundle
from tests.logs import MONDAY, canonical, raw, simulated_users
from tests.reference_counts import count

KEY = ["user_id", "user_session", "product_id", "as_of"]


@pytest.fixture(scope="module", autouse=True)
def cluster():
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def users():
    return simulated_users(31, users=90)


@pytest.fixture(scope="module")
def bundle(users, tmp_path_factory):
    return small_bundle(tmp_path_factory.mktemp("bundles") / "small-1", users, through_day=MONDAY + 3)


@pytest.fixture(scope="module")
def log(users, tmp_path_factory) -> Path:
    """The events in the public columns, in several files and row groups."""
    directory = tmp_path_factory.mktemp("log")
    table = raw(users)
    half = table.num_rows // 2
    pq.write_table(table.slice(0, half), directory / "a.parquet", row_group_size=200)
    pq.write_table(table.slice(half), directory / "b.parquet", row_group_size=200)
    return directory


@pytest.fixture
def job(log, bundle, tmp_path) -> Job:
    return Job(events=[log], bundle=bundle.path, out=tmp_path / "out", quarantine_dir=tmp_path / "quarantine")


@pytest.fixture(scope="module")
def trained(users) -> pa.Table:
    """What training's replay of the whole log gives: decision points and vectors."""
    return replayed(users, Catalog.empty())


def replayed(users: UserEvents, start: Catalog) -> pa.Table:
    """Training's decision points and vectors, in the order of `scored`."""
    history = CatalogHistory(start, count(event for events in users.values() for event in events))
    table = example_table(canonical(users), history, horizon_us=DAY_US, log_end_us=0)
    kinds = pa.array([("view", "cart")[kind] for kind in table["kind"].to_pylist()])
    named = table.set_column(table.column_names.index("kind"), "kind", kinds)
    return named.sort_by([(name, "ascending") for name in ["as_of_us", "user", "session", "product", "kind"]])


def run(job: Job) -> Summary:
    return score(job, ScoringProgress(Console(file=io.StringIO())))


def scored(job: Job) -> pa.Table:
    """The output, in an order of its own: that of time and key."""
    return pq.read_table(job.out).sort_by([(name, "ascending") for name in ["as_of", *KEY[:3], "kind"]])


def points_table(trained: pa.Table, **more: pa.Array) -> pa.Table:
    as_of = trained["as_of_us"].cast(pa.timestamp("us", "UTC"))
    columns = {"user_id": trained["user"], "user_session": trained["session"], "product_id": trained["product"]}
    return pa.table(columns | {"as_of": as_of} | more)


def test_scores_every_decision_point_of_the_log_once(job, trained, bundle):
    summary = run(job)

    out = scored(job)
    names = [*KEY, "kind", "purchase_probability", *MEMBER_KINDS, "bundle_version"]
    assert out.column_names == names
    assert out.schema.field("as_of").type == pa.timestamp("us", "UTC")
    assert Counter(zip(*(out[name].to_pylist() for name in [*KEY[:3], "kind"]), strict=True)) == Counter(
        (row["user"], row["session"], row["product"], row["kind"]) for row in trained.to_pylist()
    )
    assert pc.unique(out["bundle_version"]).to_pylist() == ["small-1"]
    assert (summary.rows, summary.rejected.total()) == (trained.num_rows, 0)
    assert f"scored {trained.num_rows:,} rows" in summary.line()
    assert "0 rejected" in summary.line()


def test_vectors_are_training_s_and_probabilities_the_bundle_s(job, trained, bundle):
    run(replace(job, with_features=True, batch_size=100))

    out = scored(job)
    X = x_matrix(trained)
    assert x_matrix(out).tobytes() == X.tobytes()
    members = {}
    for entry in bundle.manifest.members:
        margin = adapter(entry.kind).load(bundle.file(entry.file), threads=1)
        members[entry.name] = entry.calibration.probability(margin(X))
        assert np.allclose(out[entry.name].to_numpy(), members[entry.name], rtol=0, atol=1e-9)
    vote = combine(members, bundle.manifest.weights)
    assert np.allclose(out["purchase_probability"].to_numpy(), vote, rtol=0, atol=1e-9)
    assert len(np.unique(vote)) > 50


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_scores_given_points_like_the_log_s_own(job, trained, tmp_path, suffix):
    run(replace(job, with_features=True))
    shuffled = trained.take(np.random.default_rng(1).permutation(trained.num_rows))
    path = tmp_path / f"points.{suffix}"
    table = points_table(shuffled, kind=shuffled["kind"])
    pq.write_table(table, path) if suffix == "parquet" else pyarrow.csv.write_csv(table, path)

    given = replace(job, points=path, out=tmp_path / "given", with_features=True)
    summary = run(given)

    assert summary.rows == trained.num_rows
    assert scored(given).equals(scored(job))


def test_no_point_is_lost_whatever_is_wrong_with_it(job, users, trained, tmp_path):
    user, events = next(iter(users.items()))
    seen, noon = events[0], "2016-08-05 12:00:00"
    lines = [
        f"{user},{seen.session},{seen.product},2016-08-05 12:00:00,,",
        f"{user},{seen.session},{seen.product},2016-08-05 12:00:00,,",  # asked twice, answered twice
        f"{user},another,{seen.product},{noon},,",
        f"{user},{seen.session},{seen.product},2016-07-01 00:00:00,,",  # before anything happened
        f"{user},s,never-seen,{noon},,",
        f"stranger,s,{seen.product},{noon},,",
        f"stranger,s,never-seen,{noon},12.5,toys",
        f"a b,s,{seen.product},{noon},,",
        f"{user},s,{seen.product},some day,,",
        f"{user},s",
    ]
    path = tmp_path / "points.csv"
    path.write_text("\n".join(["user_id,user_session,product_id,as_of,price,category_code", *lines]) + "\n")

    summary = run(replace(job, points=path))

    out = pq.read_table(job.out)
    aside = pq.read_table(job.out / "_rejected")
    assert aside.schema.equals(REJECTED)
    assert Counter(out["user_id"].to_pylist()) == {user: 3, "stranger": 1}
    assert out["kind"].null_count == 4
    assert Counter(aside["reason"].to_pylist()) == summary.rejected
    assert summary.rejected == {"no_context": 3, "bad_user_id": 1, "bad_time": 1, "bad_row": 1}
    assert summary.rows + summary.rejected.total() == len(lines)
    assert "no_context 3" in summary.line()


def test_days_that_the_bundle_knows_are_told_by_the_log_alone(job, users, trained, bundle):
    """A bundle that knows the whole log must not tell it to the decisions within."""
    run(replace(job, with_features=True))

    early = pc.less_equal(scored(job)["as_of"].cast(pa.int64()), (MONDAY + 4) * DAY_US - 1)
    first_day = pc.less(scored(job)["as_of"].cast(pa.int64()), (MONDAY + 1) * DAY_US)
    assert bundle.manifest.catalog_through_day == MONDAY + 3
    assert pc.sum(early).as_py() > 100
    column = x_matrix(scored(job).filter(first_day))[:, -1]
    assert set(column.tolist()) == {0.25}, "the shop's cart_to_buy on its first day is the prior's"


def test_a_log_of_later_days_goes_on_from_the_bundle(job, users, bundle, tmp_path):
    later = {
        user: kept for user, events in users.items() if (kept := [e for e in events if day_of(e.time_us) > MONDAY + 3])
    }
    pq.write_table(raw(later), tmp_path / "later.parquet")

    run(replace(job, events=[tmp_path / "later.parquet"], with_features=True))

    expected = replayed(later, Catalog.read(bundle.file("catalog.parquet")))
    assert x_matrix(scored(job)).tobytes() == x_matrix(expected).tobytes()


def test_the_cut_into_tasks_changes_nothing(job, monkeypatch):
    run(job)
    whole = scored(job)
    monkeypatch.setattr("deployments.scoring.pipeline.RANGE_ROWS", 40)

    run(replace(job, overwrite=True, actors=1))

    assert len(list(job.out.glob("part-*.parquet"))) > 10
    again = scored(job)
    # a batch of another size may round a member's last bit otherwise
    for name in ("purchase_probability", *MEMBER_KINDS):
        assert np.allclose(again[name].to_numpy(), whole[name].to_numpy(), rtol=0, atol=1e-9)
    assert again.select([*KEY, "kind"]).equals(whole.select([*KEY, "kind"]))


def test_broken_rows_are_set_aside_and_too_many_refused(job, users, tmp_path):
    good = raw(users)
    broken = good.slice(0, 5).set_column(6, "price", pa.array([-1.0] * 5))
    pq.write_table(pa.concat_tables([good, broken]), tmp_path / "dirty.parquet")
    dirty = replace(job, events=[tmp_path / "dirty.parquet"])

    summary = run(dirty)
    assert summary.rows > 0
    assert pq.read_table(job.quarantine_dir / "rejected.parquet")["reason"].to_pylist() == ["bad_price"] * 5

    with pytest.raises(EventLogError, match=r"break the schema, more than 0\.10%: bad_price 5"):
        run(replace(dirty, max_quarantine_ratio=0.001, overwrite=True))


def test_refusals_are_clear_and_leave_nothing(job, bundle, tmp_path):
    (tmp_path / "points.csv").write_text("user_id,as_of\nann,2016-08-01\n")
    damaged = tmp_path / "bundle"
    damaged.mkdir()
    (damaged / "manifest.json").write_text((bundle.path / "manifest.json").read_text())
    refusals = [
        (replace(job, events=[tmp_path / "none.parquet"]), EventLogError, "no event log at"),
        (replace(job, points=tmp_path / "none.csv"), InputError, "no points at"),
        (replace(job, points=tmp_path / "points.csv"), InputError, "lacks the columns user_session, product_id"),
        (replace(job, bundle=tmp_path / "none"), BundleError, "no readable bundle"),
        (replace(job, bundle=damaged), BundleError, "lacks"),
        (replace(job, out=tmp_path / "points.csv"), ConfigError, "cannot write to"),
    ]

    for refused, kind, message in refusals:
        with pytest.raises(kind, match=message):
            run(refused)
    assert not job.out.exists() or list(job.out.iterdir()) == []
