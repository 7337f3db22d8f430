"""What each command does once its arguments are read. Ray is imported only after its environment is set."""

import argparse
import json
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from common.bundle import Bundle, open_bundle
from common.catalog import Catalog
from common.clock import HOUR_US, from_datetime, now_us, to_iso
from common.errors import BundleError, RegistryError
from common.feature_specs import SCHEMA_HASH
from common.log_files import plan_parts
from training.cluster import prepare, ray_cluster
from training.found import SearchSettings
from training.progress import Progress
from training.shop.traffic import Plan
from training.simulate import DEFAULT_START, simulate
from training.state import State

SHOP_EVENTS = 100_000


def train(given: argparse.Namespace) -> None:
    """Fit a bundle on `given.events` and register it."""
    _train(given, given.events, given.truth, resume=given.resume, promote=given.promote)


def ensure(given: argparse.Namespace) -> None:
    """Train and promote a champion unless a usable one is there."""
    state, console = State.from_environment(), _console()
    state.make()
    prepare(given.address, state.ray_token)
    events: list[Path] = given.events or []
    champion = _usable_champion(state, console, may_replace=bool(events))
    if champion is not None and (not events or champion.manifest.data.get("sources") == _sources(events)):
        console.print(f"champion {champion.version} is there")
        return
    truth = None
    if not events:
        events, truth = [state.directory / "shop" / "events.parquet"], state.directory / "shop" / "truth.parquet"
        _simulate(events[0], truth, seed=given.seed, console=console)
    _train(given, events, truth, resume=False, promote=True)


def evaluate(given: argparse.Namespace) -> None:
    """Judge a registered bundle by all decision points of a log."""
    state = State.from_environment()
    state.make()
    prepare(given.address, state.ray_token)
    plan_parts(given.events)
    bundle = _registered_bundle(state, given.version)
    from training.judgement import judge_bundle
    from training.log import read_log
    from training.report import quality_table

    progress = Progress(_console())
    with ray_cluster(given.address):
        log = read_log(
            given.events,
            state=state,
            horizon_us=_horizon_us(given),
            max_quarantine_ratio=given.max_quarantine_ratio,
            progress=progress,
            known=Catalog.read(bundle.file("catalog.parquet")),
        )
    with progress.stage("evaluate"):
        metrics = judge_bundle(bundle, log.examples, given.truth)
    Console(highlight=False).print(quality_table(metrics, title=f"{bundle.version} on all points of the log"))
    if given.json is not None:
        given.json.write_text(json.dumps({"version": bundle.version, **metrics}, indent=1), encoding="utf-8")


def promote(given: argparse.Namespace) -> None:
    """Make a registered bundle the champion."""
    from training.promotion import require_passed
    from training.registry import Registry

    registry = Registry(State.from_environment())
    chosen = registry.find(given.version)
    bundle = open_bundle(registry.fetch(chosen), feature_schema=SCHEMA_HASH)
    if not given.force:
        require_passed(bundle, bundle.manifest.metrics.get("missed_gates", []))
    print(f"champion is now {registry.promote(chosen.number).version}")


def rollback(_given: argparse.Namespace) -> None:
    """Make the previous champion the champion again."""
    from training.registry import Registry

    print(f"champion is now {Registry(State.from_environment()).rollback().version}")


def list_versions(_given: argparse.Namespace) -> None:
    """Print the registered bundles."""
    from training.registry import SHOWN, Registry

    versions = Registry(State.from_environment()).versions()
    if not versions:
        print("no versions yet; train one with: make run")
        return
    table = Table(box=None, pad_edge=False)
    for column in ("no", "version", "registered", "aliases", "log loss", "ROC AUC", "ECE"):
        table.add_column(column)
    for entry in versions:
        figures = [f"{entry.figures[name]:.4f}" if name in entry.figures else "-" for name in SHOWN]
        registered = to_iso(entry.created_ms * 1_000)[:16]
        table.add_row(entry.number, entry.version, registered, ", ".join(entry.aliases), *figures)
    Console(highlight=False, width=None if sys.stdout.isatty() else 120).print(table)


def _train(
    given: argparse.Namespace, events: Sequence[Path], truth: Path | None, *, resume: bool, promote: bool
) -> None:
    state = State.from_environment()
    state.make()
    prepare(given.address, state.ray_token)
    plan_parts(events)  # a log that is not there is found out before Ray is started
    from training.pipeline import TrainOptions
    from training.pipeline import train as run

    options = TrainOptions(
        events=events,
        sources=_sources(events),
        truth=truth,
        search=SearchSettings(trials=given.trials, time_budget_s=given.time_budget_s, seed=given.seed),
        horizon_us=_horizon_us(given),
        max_quarantine_ratio=given.max_quarantine_ratio,
        resume=resume,
        promote=promote,
    )
    progress = Progress(_console())
    with ExitStack() as stack:
        with progress.stage("start Ray") as stage:
            cpus = stack.enter_context(ray_cluster(given.address))
            stage.note(f"{cpus} CPUs")
        run(options, state=state, cpus=cpus, progress=progress, clock=now_us)


def _usable_champion(state: State, console: Console, *, may_replace: bool) -> Bundle | None:
    """The champion, if there is one; what cannot be used is replaced only where other events were given.

    Raises:
        BundleError: the champion is damaged, or was fitted with other features, and nothing was given to replace it.
    """
    if (
        state.tracking_uri.startswith("sqlite:///")
        and not Path(state.tracking_uri.removeprefix("sqlite:///")).is_file()
    ):
        return None  # asking would make the store, which takes seconds and finds nothing
    from training.registry import Registry

    registry = Registry(state)
    champion = registry.champion()
    if champion is None:
        return None
    try:
        return open_bundle(registry.fetch(champion), feature_schema=SCHEMA_HASH)
    except (BundleError, RegistryError) as error:
        if may_replace:
            console.print(f"the champion cannot be used and will be replaced: {error.message}")
            return None
        raise BundleError(
            f"the champion cannot be used: {error.message}",
            remedy="Go back to the one before with `python -m training rollback`, or train a new one with "
            "`python -m training train --events PATH --promote` or `make run EVENTS=PATH`",
        ) from error


def _registered_bundle(state: State, name: str) -> Bundle:
    from training.registry import Registry

    registry = Registry(state)
    return open_bundle(registry.fetch(registry.find(name)), feature_schema=SCHEMA_HASH)


def _simulate(events: Path, truth: Path, *, seed: int, console: Console) -> None:
    if events.is_file() and truth.is_file():
        console.print(f"the simulated shop is there: {events}")
        return
    events.parent.mkdir(parents=True, exist_ok=True)
    plan = Plan(events=SHOP_EVENTS, seed=seed, start_us=from_datetime(DEFAULT_START))
    written = simulate(plan, events, truth, console=console)
    console.print(f"simulated a shop: {written.events:,} events in {events}")


def _sources(events: Sequence[Path]) -> list[dict[str, Any]]:
    """Which files a log is: by path, size and time of change. What is not there is found out when it is read."""
    files = [file for path in events for file in ([path] if path.is_file() else sorted(path.rglob("*")))]
    stats = [(file, file.stat()) for file in files if file.is_file()]
    return [
        {"path": str(file.resolve()), "bytes": stat.st_size, "modified_us": stat.st_mtime_ns // 1_000}
        for file, stat in stats
    ]


def _horizon_us(given: argparse.Namespace) -> int:
    return int(given.label_horizon_h * HOUR_US)


def _console() -> Console:
    return Console(stderr=True, highlight=False)
