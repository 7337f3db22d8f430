"""A small bundle of real members, fitted in seconds: for tests of what reads bundles."""

from pathlib import Path

from common import trees, vectors
from common.bundle import MEMBER_FILES, Bundle, Manifest, MemberEntry, Probe, seal_bundle
from common.catalog import Catalog, CatalogHistory
from common.clock import DAY_US
from common.ensemble import DEFAULT_WEIGHTS, Calibration, combine
from common.feature_specs import NAMES, SCHEMA_HASH
from common.members import Fold, Matrix, adapter
from common.replay import UserEvents, example_table, x_matrix
from common.trees import TreeTable
from tests.logs import MONDAY, canonical
from tests.reference_counts import count
from training.explanation import trees_of


def small_bundle(directory: Path, users: UserEvents, *, through_day: int = MONDAY + 3) -> Bundle:
    """A bundle fitted on a log's examples up to a day, with the catalog of the end of that day."""
    end_us = (through_day + 1) * DAY_US
    known = {user: [event for event in events if event.time_us < end_us] for user, events in users.items()}
    history = CatalogHistory(Catalog.empty(), count(event for events in known.values() for event in events))
    table = example_table(canonical(known), history, horizon_us=DAY_US, log_end_us=end_us)
    X, y = x_matrix(table), table["label"].to_numpy()
    fold = Fold(X[::2], y[::2], X[1::2], y[1::2])
    (directory / "members").mkdir(parents=True)
    history.last.write(directory / "catalog.parquet")
    tables: dict[str, TreeTable] = {}
    members = [_member(kind, fold, directory, tables) for kind in MEMBER_FILES]
    trees.write(directory / trees.FILE, tables)
    vectors.write(directory / vectors.BACKGROUND_FILE, X[:16], NAMES)
    vectors.write(directory / vectors.REFERENCE_FILE, X, NAMES)
    manifest = Manifest(
        version="small-1",
        created="2016-08-05T00:00:00Z",
        feature_schema=SCHEMA_HASH,
        features=list(NAMES),
        members=members,
        threshold=0.5,
        label_horizon_s=86_400,
        catalog_through_day=history.last.through_day,
        probe=_probe(members, X[:4], directory),
    )
    return seal_bundle(directory, manifest)


def _member(kind: str, fold: Fold, directory: Path, tables: dict[str, TreeTable]) -> MemberEntry:
    module = adapter(kind)
    fitted = module.fit(fold, dict(module.DEFAULTS), seed=1, threads=1)
    module.save(fitted.model, directory / MEMBER_FILES[kind])
    tables[kind], base_margin = trees_of(kind, fitted.model)
    # each with a calibration of its own, so that one that is forgotten or swapped shows
    slope = 0.7 + 0.1 * list(MEMBER_FILES).index(kind)
    return MemberEntry(
        name=kind,
        kind=kind,
        file=MEMBER_FILES[kind],
        weight=DEFAULT_WEIGHTS[kind],
        calibration=Calibration(slope=slope, intercept=-0.1),
        base_margin=base_margin,
    )


def _probe(members: list[MemberEntry], X: Matrix, directory: Path) -> Probe:
    opinions = {
        entry.name: entry.calibration.probability(adapter(entry.kind).load(directory / entry.file, threads=1)(X))
        for entry in members
    }
    return Probe(
        x=X.tolist(),
        members={name: values.tolist() for name, values in opinions.items()},
        ensemble=combine(opinions, {entry.name: entry.weight for entry in members}).tolist(),
    )
