"""What each command does once its arguments are read. Ray is imported only after its environment is set."""

import argparse
import json
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from common.bundle import Bundle, open_bundle
from common.catalog import Catalog
from common.clock import HOUR_US, SECOND_US, from_datetime, now_us
from common.errors import BundleError, RegistryError
from common.feature_specs import SCHEMA_HASH
from common.log_files import plan_parts
from training.cluster import prepare, ray_cluster
from training.found import SearchSettings
from training.progress import Progress
from training.sources import same_log, sources_of
from training.state import State

if TYPE_CHECKING:
    from training.registry import Registered
    from training.review import Review

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
    if champion is not None and (not events or _learned(champion, events, given)):
        console.print(f"champion {champion.version} is there")
        return
    truth = None
    if not events:
        events, truth = [state.directory / "shop" / "events.parquet"], state.directory / "shop" / "truth.parquet"
        _simulate(events[0], truth, seed=given.seed, console=console)
    bundle, _ = _train(given, events, truth, resume=False, promote=False)
    from training.promotion import promote_sound
    from training.registry import Registry

    # the operator named the log that is to be served: a champion of another one has no say
    console.print(f"champion is now {promote_sound(Registry(state), bundle).version}")


def evaluate(given: argparse.Namespace) -> None:
    """Judge registered bundles by a log."""
    state = State.from_environment()
    state.make()
    prepare(given.address, state.ray_token)
    plan_parts(given.events)
    progress = Progress(_console())
    with progress.stage("open registry"):
        bundles = [_registered_bundle(state, name) for name in given.version]
    with ExitStack() as stack:
        _start_ray(stack, given.address, progress)
        reviews = [_review(bundle, called, given, state, progress) for bundle, called in bundles]
    figures = {"include_learned": given.include_learned, **_shown(reviews)}
    if given.json is not None:
        given.json.write_text(json.dumps(figures, indent=1), encoding="utf-8")


def _shown(reviews: "Sequence[Review]") -> dict[str, Any]:
    """Print reviews, how they compare first; gives the figures as a script reads them."""
    from training.reporting.table import quality_table
    from training.review import side_by_side, side_by_side_table, title, verdicts

    console = Console(highlight=False)
    compared = side_by_side(reviews) if len(reviews) > 1 else []
    if compared:
        for verdict in verdicts(compared):
            console.print(verdict, style="bold", soft_wrap=True)
        console.print(side_by_side_table(compared))
    for of in reviews:
        console.print(quality_table(of.metrics, title=title(of)))
    if not compared:
        return {"version": reviews[0].version, **reviews[0].metrics}
    return {"versions": {of.version: of.metrics for of in reviews}, "side_by_side": compared}


def promote(given: argparse.Namespace) -> None:
    """Make a registered bundle the champion."""
    from training.promotion import promote_registered
    from training.registry import Registry

    registry = Registry(State.from_environment())
    before = registry.champion()
    if before is not None and registry.find(given.version).number == before.number:
        print(f"{before.version} is the champion already")
        return
    promoted, note = promote_registered(registry, given.version, force=given.force)
    print(note)
    print(_succession(promoted, before))


def rollback(_given: argparse.Namespace) -> None:
    """Make the previous champion the champion again, if this code can still serve it."""
    from training.registry import PREVIOUS, Registry

    registry = Registry(State.from_environment())
    before = registry.champion()
    previous = next((entry for entry in registry.versions() if PREVIOUS in entry.aliases), None)
    if previous is not None:
        open_bundle(registry.fetch(previous), feature_schema=SCHEMA_HASH)
    print(_succession(registry.rollback(), before))


def _succession(promoted: "Registered", before: "Registered | None") -> str:
    """Who serves now and who did, and that a service learns of it only when it starts."""
    former = "there was none before" if before is None else f"before it was {before.version}"
    return (
        f"champion is now {promoted.version}; {former}\n"
        "a service that is running must be restarted to serve it: python -m deployments serve"
    )


def list_versions(given: argparse.Namespace) -> None:
    """Print the registered bundles."""
    from training.listing import records, table
    from training.registry import Registry

    versions = Registry(State.from_environment()).versions()
    if given.json:
        print(json.dumps(records(versions), indent=1))
    elif versions:
        Console(highlight=False, width=None if sys.stdout.isatty() else 200).print(table(versions))
    else:
        print("no versions yet; train one with: make run")


def _review(bundle: Bundle, called: str, given: argparse.Namespace, state: State, progress: Progress) -> "Review":
    from training.log import read_log
    from training.review import review

    log = read_log(
        given.events,
        state=state,
        horizon_us=bundle.manifest.label_horizon_s * SECOND_US,
        max_quarantine_ratio=given.max_quarantine_ratio,
        progress=progress,
        known=Catalog.read(bundle.file("catalog.parquet")),
        now_us=now_us(),
    )
    with progress.stage(f"evaluate {bundle.version}"):
        return review(bundle, log.examples, given.truth, called=called, include_learned=given.include_learned)


def _train(
    given: argparse.Namespace, events: Sequence[Path], truth: Path | None, *, resume: bool, promote: bool
) -> "tuple[Bundle, Registered]":
    state = State.from_environment()
    state.make()
    prepare(given.address, state.ray_token)
    events = [path.expanduser().resolve() for path in events]  # processes of a running cluster stand elsewhere
    plan_parts(events)  # a log that is not there is found out before Ray is started
    from training.pipeline import TrainOptions
    from training.pipeline import train as run

    options = TrainOptions(
        events=events,
        sources=sources_of(events),
        truth=truth,
        search=SearchSettings(
            trials=given.trials,
            time_budget_s=given.time_budget_s,
            seed=given.seed,
            latency_budget_ms=given.latency_budget_ms,
        ),
        horizon_us=_horizon_us(given),
        max_quarantine_ratio=given.max_quarantine_ratio,
        resume=resume,
        promote=promote,
        half_life_days=given.half_life_days or None,
        margin=given.margin,
        contact_cost=given.contact_cost,
        caused_share=given.caused_share,
    )
    progress = Progress(_console())
    with ExitStack() as stack:
        cpus = _start_ray(stack, given.address, progress)
        return run(options, state=state, cpus=cpus, progress=progress, clock=now_us)


def _start_ray(stack: ExitStack, address: str | None, progress: Progress) -> int:
    """The number of CPUs of a Ray that runs until `stack` is left."""
    with progress.stage("start Ray") as stage:
        cpus = stack.enter_context(ray_cluster(address))
        stage.note(f"{cpus} CPUs")
    return cpus


def _learned(champion: Bundle, events: Sequence[Path], given: argparse.Namespace) -> bool:
    """Whether a champion was trained on exactly these files, for the same question."""
    manifest = champion.manifest
    of_horizon = manifest.label_horizon_s * SECOND_US == _horizon_us(given)
    return of_horizon and same_log(manifest.data.get("sources", []), sources_of(events))


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


def _registered_bundle(state: State, name: str) -> tuple[Bundle, str]:
    """A version's bundle, and what the registry calls it: its aliases and its number."""
    from training.registry import Registry

    registry = Registry(state)
    entry = registry.find(name)
    called = ", ".join([*entry.aliases, f"no {entry.number}"])
    return open_bundle(registry.fetch(entry), feature_schema=SCHEMA_HASH), called


def _simulate(events: Path, truth: Path, *, seed: int, console: Console) -> None:
    if events.is_file() and truth.is_file():
        console.print(f"the simulated shop is there: {events}")
        return
    from training.shop.traffic import Plan
    from training.simulate import DEFAULT_START, simulate

    events.parent.mkdir(parents=True, exist_ok=True)
    plan = Plan(events=SHOP_EVENTS, seed=seed, start_us=from_datetime(DEFAULT_START))
    written = simulate(plan, events, truth, console=console)
    console.print(f"simulated a shop: {written.events:,} events in {events}")


def _horizon_us(given: argparse.Namespace) -> int:
    return int(given.label_horizon_h * HOUR_US)


def _console() -> Console:
    return Console(stderr=True, highlight=False)
