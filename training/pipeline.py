"""The whole of `train`: an event log in, a registered bundle out.

    read -> examples -> split -> search -> backtest -> vote -> judge -> final fits -> bundle -> register -> promote

What is judged and what is served are made by one recipe. The judged members have not seen the part that they are
judged by; the served ones have learned every labelled point of the log, since the newest are worth most.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.bundle import Bundle, open_bundle
from common.clock import Clock, to_iso
from common.ensemble import DEFAULT_WEIGHTS
from common.errors import BundleError, RegistryError
from common.eventlog import Bounds
from common.feature_specs import SCHEMA_HASH
from training.assembly import Contents, assemble
from training.backtest import Backtest, Recipe, backtest, candidates_of, final_members, fits_of, search_rows
from training.data_card import data_card
from training.evaluation import ENSEMBLE
from training.examples import Examples
from training.fits import FittedMember
from training.found import Found, SearchSettings
from training.gates import own, recorded
from training.judging import Judged, balanced_of, judge_recipe, vectors_of
from training.leakage import Check
from training.log import Log, read_log
from training.profit import Economics
from training.progress import Progress, Stage
from training.promotion import Examination, hold_against_champion, promote_if_passed
from training.registry import Registered, Registry
from training.reporting import ReportData, explained_by, write_html
from training.reporting.table import quality_table
from training.run_checks import run_checks
from training.search import search
from training.split import PARTS, Split, split_by_time
from training.state import State
from training.vote import Vote, learn_vote

EXPLAINED_ROWS = 400
"""Rows whose explanations the report draws."""


@dataclass(frozen=True)
class TrainOptions:
    """What `train` was asked to do."""

    events: Sequence[Path]
    sources: Sequence[Mapping[str, Any]]
    truth: Path | None
    search: SearchSettings
    horizon_us: int
    max_quarantine_ratio: float
    resume: bool
    promote: bool
    half_life_days: float | None = 45.0
    margin: float = 1.0
    contact_cost: float = 0.1
    caused_share: float = 1.0


@dataclass(frozen=True)
class Served:
    """What goes into the bundle: members that learned everything, and the vote that all their opinions ask for.

    `balanced` are the vote's thresholds at 1:1 by slice; `sample` the rows that the members' margins are of.
    """

    members: dict[str, FittedMember]
    vote: Vote
    balanced: dict[str, float]
    sample: NDArray[np.int64]


def train(
    options: TrainOptions, *, state: State, cpus: int, progress: Progress, clock: Clock
) -> tuple[Bundle, Registered]:
    """Read, search, backtest, judge, fit, register; promote if asked and the gates are passed.

    Raises:
        EventLogError: the log cannot be used.
        InputError: there is no search to resume, or a truth file that does not fit.
        RegistryError: the registry does not answer, or a gate was missed by a bundle that was to be promoted.
        KeyboardInterrupt: Ctrl-C ended the search; what it found is kept for `--resume`.
    """
    log = read_log(
        options.events,
        state=state,
        horizon_us=options.horizon_us,
        max_quarantine_ratio=options.max_quarantine_ratio,
        progress=progress,
        now_us=clock(),
    )
    examples = log.examples
    split = split_by_time(examples.as_of_us, examples.y, embargo_us=options.horizon_us)
    with progress.stage("open registry") as stage:  # now, so that one that does not answer costs no search
        registry = Registry(state)
        champion = _champion(registry)
        stage.note(state.shown_tracking_uri)
    found = _search(examples, split, options, champion, state=state, cpus=cpus, progress=progress)
    candidates = candidates_of(found, latency_budget_ms=options.search.latency_budget_ms)
    recipe = Recipe(candidates, options.half_life_days, options.search.seed)
    with progress.stage("backtest") as stage:
        tested = backtest(examples, split, recipe, on_done=_counting(stage, fits_of(recipe)))
        stage.note(_told(tested, found))
    with progress.stage("judge by the last part") as stage:
        economics = Economics(options.margin, options.contact_cost, options.caused_share)
        judged = judge_recipe(examples, split, tested, economics, truth=options.truth, champion=champion)
        overall = judged.metrics["slices"]["all"]["quality"][ENSEMBLE]
        stage.note(f"log loss {overall['log_loss']:.4f}, ROC AUC {overall['roc_auc']:.3f}")
    with progress.stage("check for leaks") as stage:
        checks = _checked(log, split, judged, options, stage)
    with progress.stage("fit on everything") as stage:
        served = _serve(examples, recipe, tested, on_done=_counting(stage, len(recipe.candidates)))
        shares = ", ".join(f"{name} {weight:.2f}" for name, weight in served.vote.weights.items())
        stage.note(f"{shares}; threshold {served.vote.threshold:.3f}")
    with progress.stage("write bundle") as stage:
        contents = _contents(log, split, judged, served, checks, options)
        bundle = assemble(contents, bundles=state.bundles, now_us=clock(), seed=options.search.seed)
        stage.note(f"{bundle.version}")
    with progress.stage("register") as stage:
        registered = registry.register(bundle, trials=found.trials, settings=_settings(options))
        stage.note(f"version {registered.number}, alias challenger")
    examined = hold_against_champion(registry, bundle, progress, x=vectors_of(examples, split.rows["test"]))
    with progress.stage("write report") as stage:
        report = _report(bundle, judged, contents, found, examined, economics, champion, progress.seconds)
        page = write_html(state.reports / bundle.version, report)
        registry.add_report(registered, page.parent)
        stage.note(str(page))
    title = f"{bundle.version} on the untouched last part"
    progress.print(quality_table(judged.metrics, title=title, threshold=judged.vote.threshold))
    if options.promote:
        registered = promote_if_passed(registry, bundle, examined, progress)
    return bundle, registered


def _champion(registry: Registry) -> Bundle | None:
    """The champion, if there is one that this code can still open."""
    entry = registry.champion()
    if entry is None:
        return None
    try:
        return open_bundle(registry.fetch(entry), feature_schema=SCHEMA_HASH)
    except (BundleError, RegistryError):
        return None  # of another schema, or lost: there is nothing to start from


def _search(
    examples: Examples,
    split: Split,
    options: TrainOptions,
    champion: Bundle | None,
    *,
    state: State,
    cpus: int,
    progress: Progress,
) -> Found:
    members = champion.manifest.members if champion else []
    with progress.stage("search") as stage:
        found = search(
            search_rows(examples, split, half_life_days=options.half_life_days),
            options.search,
            directory=state.searches,
            cpus=cpus,
            progress=progress,
            warm_start={member.kind: _searched(member.params) for member in members} or None,
            resume=options.resume,
        )
        stage.note(f"{len(found.trials)} trials on {cpus} CPUs")
    if found.interrupted:
        progress.print(
            f"stopped: {len(found.trials)} trials are kept. `python -m training train --resume` with the same --events "
            "goes on; with --time-budget-s 0 it goes on to the final fits with the best so far"
        )
        raise KeyboardInterrupt
    return found


def _checked(log: Log, split: Split, judged: Judged, options: TrainOptions, stage: Stage) -> list[Check]:
    checks = run_checks(
        log.examples,
        split,
        judged.held_out.probabilities[ENSEMBLE],
        options.events,
        horizon_us=options.horizon_us,
        seed=options.search.seed,
        bounds=Bounds(first_us=log.report.first_us or 0, last_us=log.report.last_us or 0),
    )
    failed = [check.name for check in checks if not check.passed]
    stage.note(f"{len(checks) - len(failed)} of {len(checks)} passed")
    if failed:
        stage.note(f"FAILED: {', '.join(failed)}")
    return checks


def _searched(params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a bundle's member without its rounds, which no search chooses."""
    return {name: value for name, value in params.items() if name != "rounds"}


def _serve(examples: Examples, recipe: Recipe, tested: Backtest, *, on_done: Callable[[int], None]) -> Served:
    members, sample = final_members(examples, recipe, tested, on_done=on_done)
    opinions = tested.after(tested.best_rounds(PARTS[1:]))
    vote = learn_vote(opinions, examples.y, examples.as_of_us, examples.user)
    return Served(members, vote, balanced_of(examples, opinions, vote), sample)


def _contents(
    log: Log, split: Split, judged: Judged, served: Served, checks: Sequence[Check], options: TrainOptions
) -> Contents:
    examples = log.examples
    metrics = {
        **judged.metrics,
        "balanced_thresholds": served.balanced,
        "latency": {
            name: {f"rows_{rows}_ms": taken for rows, taken in member.latency_ms.items()}
            for name, member in served.members.items()
        },
        "latency_budget_ms": options.search.latency_budget_ms,
    }
    learned = {"from": to_iso(int(examples.as_of_us[0])), "to": to_iso(int(examples.as_of_us[-1]))}
    return Contents(
        members=served.members,
        X=examples.x(served.sample),
        vote=served.vote,
        catalog=examples.catalog,
        horizon_us=options.horizon_us,
        holdout=judged.holdout,
        metrics=metrics | recorded(own(metrics)),
        data={**data_card(log, split, options.sources), "learned": learned},
        checks=checks,
    )


def _report(
    bundle: Bundle,
    judged: Judged,
    contents: Contents,
    found: Found,
    examined: Examination,
    economics: Economics,
    champion: Bundle | None,
    seconds: Mapping[str, float],
) -> ReportData:
    manifest = bundle.manifest
    return ReportData(
        version=bundle.version,
        created=manifest.created,
        label_horizon_s=manifest.label_horizon_s,
        metrics=manifest.metrics,
        held_out=judged.held_out,
        chosen_on=judged.chosen_on,
        threshold=judged.vote.threshold,
        served_threshold=manifest.threshold,
        economics=economics,
        weights=manifest.weights,
        baseline_weights={name: DEFAULT_WEIGHTS[name] for name in manifest.weights},
        params={name: {**member.params, "rounds": member.rounds} for name, member in contents.members.items()},
        trials=found.trials,
        explained=explained_by(bundle, contents.X[:: max(1, len(contents.X) // EXPLAINED_ROWS)]),
        data=manifest.data,
        checks=contents.checks,
        seconds=seconds,
        gates=examined.gates,
        champion_version=None if champion is None else champion.version,
    )


def _told(tested: Backtest, found: Found) -> str:
    """The rounds of each member, and whether what the search found for it was confirmed."""
    rounds = tested.best_rounds(PARTS[1:])
    confirmed = {kind: candidate.params == found.params[kind] for kind, candidate in tested.chosen.items()}
    return ", ".join(
        f"{kind} {count} rounds{'' if confirmed[kind] else ' of the defaults'}" for kind, count in rounds.items()
    )


def _counting(stage: Stage, total: int) -> Any:
    return lambda done: stage.show(f"{done} of {total} fits")


def _settings(options: TrainOptions) -> dict[str, Any]:
    return {
        **asdict(options.search),
        "events": [str(path) for path in options.events],
        "horizon_us": options.horizon_us,
        "half_life_days": options.half_life_days,
    }
