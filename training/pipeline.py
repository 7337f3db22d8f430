"""The whole of `train`: an event log in, a registered bundle out."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from common.bundle import Bundle
from common.clock import Clock
from common.ensemble import combine
from common.members import Fold
from training.assembly import Contents, Ensemble, assemble
from training.calibrate import fit_calibration
from training.evaluation import ENSEMBLE, base_rates
from training.examples import Examples
from training.fits import FittedMember, fit_members
from training.found import Found, SearchSettings
from training.gates import own_gates
from training.judgement import balanced_thresholds, judge, points_of
from training.log import data_card, read_log
from training.progress import Progress
from training.promotion import promote_if_better
from training.registry import Registered, Registry
from training.report import quality_table, write_report
from training.search import search
from training.split import Split, split_by_time
from training.state import State
from training.threshold import best_f1_threshold
from training.weights import learn_weights


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


def train(
    options: TrainOptions, *, state: State, cpus: int, progress: Progress, clock: Clock
) -> tuple[Bundle, Registered]:
    """Read, search, fit, calibrate, weigh, evaluate, register; promote if asked and the gates are passed.

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
    )
    examples = log.examples
    split = split_by_time(examples.as_of_us, examples.y, embargo_us=options.horizon_us)
    with progress.stage("open registry") as stage:  # now, so that one that does not answer costs no search
        registry = Registry(state)
        stage.note(state.shown_tracking_uri)
    found = _search(examples, split, options, state=state, cpus=cpus, progress=progress)
    ensemble = _ensemble(examples, split, found, options, progress=progress)
    test = points_of(examples, split.rows["test"])
    with progress.stage("evaluate on the last part") as stage:
        metrics = _evaluate(examples, split, ensemble, options.truth)
        overall = metrics["slices"]["all"]["quality"][ENSEMBLE]
        stage.note(f"log loss {overall['log_loss']:.4f}, ROC AUC {overall['roc_auc']:.3f}")
    with progress.stage("write bundle") as stage:
        contents = Contents(
            X=examples.X,
            fit_rows=split.rows["fit"],
            catalog=examples.catalog,
            horizon_us=options.horizon_us,
            metrics=metrics,
            data=data_card(log, split, options.sources),
        )
        bundle = assemble(ensemble, contents, bundles=state.bundles, now_us=clock(), seed=options.search.seed)
        stage.note(f"{bundle.version}")
    with progress.stage("register") as stage:
        registered = registry.register(bundle, trials=found.trials, settings=_settings(options))
        stage.note(f"version {registered.number}, alias challenger")
    write_report(state.reports / bundle.version, _report(bundle, found, progress))
    progress.print(quality_table(metrics, title=f"{bundle.version} on the untouched last part"))
    if options.promote:
        registered = promote_if_better(registry, bundle, test, examples.X[split.rows["test"]], progress)
    return bundle, registered


def _search(
    examples: Examples, split: Split, options: TrainOptions, *, state: State, cpus: int, progress: Progress
) -> Found:
    with progress.stage("search") as stage:
        found = search(
            _fold(examples, split),
            options.search,
            directory=state.searches,
            cpus=cpus,
            progress=progress,
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


def _fold(examples: Examples, split: Split) -> Fold:
    fit, tune = split.rows["fit"], split.rows["tune"]
    return Fold(examples.X[fit], examples.y[fit], examples.X[tune], examples.y[tune])


def _ensemble(examples: Examples, split: Split, found: Found, options: TrainOptions, *, progress: Progress) -> Ensemble:
    with progress.stage("final fits") as stage:
        members = fit_members(_fold(examples, split), examples.X, found.params, seed=options.search.seed)
        stage.note(", ".join(f"{name} {member.rounds}" for name, member in members.items()) + " rounds")
    with progress.stage("calibrate and weigh") as stage:
        ensemble = _calibrated(members, examples, split.rows["calibrate"])
        shares = ", ".join(f"{name} {weight:.2f}" for name, weight in ensemble.weights.items())
        stage.note(f"{shares}; threshold {ensemble.threshold:.3f}")
    return ensemble


def _calibrated(members: dict[str, FittedMember], examples: Examples, rows: slice) -> Ensemble:
    y = examples.y[rows]
    calibrations = {name: fit_calibration(member.margins[rows], y) for name, member in members.items()}
    probabilities = {name: calibrations[name].probability(member.margins[rows]) for name, member in members.items()}
    weights = learn_weights(probabilities, y)
    return Ensemble(members, calibrations, weights, best_f1_threshold(y, combine(probabilities, weights)))


def _evaluate(examples: Examples, split: Split, ensemble: Ensemble, truth: Path | None) -> dict[str, Any]:
    test, calibrate = split.rows["test"], split.rows["calibrate"]
    of_members = ensemble.member_probabilities()
    vote = combine(of_members, ensemble.weights)
    balanced = balanced_thresholds(points_of(examples, calibrate), vote[calibrate])
    rates = base_rates(examples.kind[: calibrate.stop], examples.y[: calibrate.stop])
    slices = judge(
        examples,
        test,
        {name: p[test] for name, p in of_members.items()},
        weights=ensemble.weights,
        threshold=ensemble.threshold,
        balanced_thresholds=balanced,
        rates=rates,
        truth=truth,
    )
    return {
        "part": "test",
        "slices": slices,
        "balanced_thresholds": balanced,
        "base_rates": rates,
        "missed_gates": own_gates(slices),
    }


def _settings(options: TrainOptions) -> dict[str, Any]:
    return {
        **asdict(options.search),
        "events": [str(path) for path in options.events],
        "horizon_us": options.horizon_us,
    }


def _report(bundle: Bundle, found: Found, progress: Progress) -> dict[str, Any]:
    manifest = bundle.manifest
    return {
        "version": bundle.version,
        "created": manifest.created,
        "metrics": manifest.metrics,
        "weights": manifest.weights,
        "threshold": manifest.threshold,
        "importance": manifest.importance,
        "data": manifest.data,
        "trials": [asdict(trial) for trial in found.trials],
        "seconds": progress.seconds,
    }
