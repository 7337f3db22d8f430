"""The variants of the recipe that `benchmarks.quality` compares, and the tables that it prints."""

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from common.bundle import MEMBER_KINDS
from common.clock import HOUR_US, now_us
from common.ensemble import DEFAULT_WEIGHTS, Calibration, Vector, combine
from common.feature_specs import SPECS
from common.members import Matrix, adapter
from common.members.random_forest_member import TREES
from training.backtest import Backtest, Candidate, OutOfTime, Recipe, backtest, candidates_of, fits_of, search_rows
from training.evaluation import ENSEMBLE, SLICES, Points, evaluate
from training.example_store import ExampleStore, Rows
from training.examples import Examples
from training.fits import FOREST, Fit, opinions_of
from training.found import SearchSettings
from training.log import read_log
from training.progress import Progress
from training.recency import recency_weights
from training.search import search
from training.split import PARTS, Split, split_by_time
from training.state import State
from training.vote import Vote, learn_vote

HORIZON_US = 24 * HOUR_US
HALF_LIFE_DAYS = 45.0
SEED = 7
ROUNDS = 250
"""The most that are tried of a booster: beyond, the loss is flat on a log of this size."""

JUDGED = ("calibrate", "test")
METRICS = {"log_loss": "log loss", "roc_auc": "ROC AUC", "pr_auc": "PR-AUC"}
GROUPS = tuple(dict.fromkeys(spec.group for spec in SPECS))


@dataclass(frozen=True)
class StoreWithout(ExampleStore):
    """A store whose columns of some groups are all the same, so that no tree can ask about them."""

    groups: tuple[str, ...] = ()

    def x(self, rows: Rows) -> Matrix:
        """The vectors of some rows, float32 (m, f)."""
        X = super().x(rows)
        X[:, [number for number, spec in enumerate(SPECS) if spec.group in self.groups]] = 0.0
        return X


def without(examples: Examples, groups: tuple[str, ...]) -> Examples:
    """The same examples without some groups of features."""
    store = examples.store
    identity = f"{store.identity} without {','.join(groups)}"
    return replace(examples, store=StoreWithout(store.path, identity, store.sizes, groups))


def measured(given: argparse.Namespace, state: State, cpus: int, progress: Progress) -> str:
    """The tables of all variants, in Markdown."""
    log = read_log(
        given.events, state=state, horizon_us=HORIZON_US, max_quarantine_ratio=0.01, progress=progress, now_us=now_us()
    )
    examples = log.examples
    split = split_by_time(examples.as_of_us, examples.y, embargo_us=HORIZON_US)
    rows = np.concatenate([np.arange(len(examples))[split.rows[part]] for part in JUDGED])
    points = Points(examples.y[rows], examples.kind[rows], examples.user[rows])
    candidates = dict(_variants(given, examples, split, state=state, cpus=cpus, progress=progress))
    slices = evaluate(points, candidates, threshold=0.5, balanced_thresholds=dict.fromkeys(SLICES, 0.5))
    days = (split.span_us["test"][1] - split.span_us["calibrate"][0]) / (24 * HOUR_US)
    said = f"{len(rows):,} points of {len(np.unique(points.user)):,} users in the last {days:.0f} days of the log."
    return "\n".join([said, *(line for name in SLICES for line in _table(name, slices[name], list(candidates)))])


def _variants(
    given: argparse.Namespace, examples: Examples, split: Split, *, state: State, cpus: int, progress: Progress
) -> Iterator[tuple[str, Vector]]:
    most = dict.fromkeys(MEMBER_KINDS, ROUNDS) | {FOREST: TREES}
    defaults = {kind: [Candidate(adapter(kind).DEFAULTS, most[kind])] for kind in MEMBER_KINDS}
    recipe = Recipe(defaults, HALF_LIFE_DAYS, SEED)
    whole = _tested(examples, split, recipe, progress, "everything")
    yield ENSEMBLE, _walked(examples, split, whole)
    for kind in MEMBER_KINDS:
        yield f"{kind} alone", _walked(examples, split, whole, only=kind)
    yield "weights .4/.3/.2/.1", _walked(examples, split, whole, weights=DEFAULT_WEIGHTS)
    yield "equal weights", _walked(examples, split, whole, weights=dict.fromkeys(MEMBER_KINDS, 0.25))
    yield "no calibration", _walked(examples, split, whole, calibrated=False)
    for group in GROUPS:
        if group != "request":
            few = _tested(without(examples, (group,)), split, recipe, progress, f"without {group}")
            yield f"without {group} features", _walked(examples, split, few)
    others = tuple(group for group in GROUPS if group != "request")
    alone = _tested(without(examples, others), split, recipe, progress, "the request alone")
    yield "the request's features alone", _walked(examples, split, alone)
    flat = _tested(examples, split, replace(recipe, half_life_days=None), progress, "no recency weights")
    yield "no recency weights", _walked(examples, split, flat)
    yield "fitted on the first part alone", _walked(examples, split, _stale(examples, split, recipe, progress))
    if given.search_s > 0:
        found = search(
            search_rows(examples, split, half_life_days=HALF_LIFE_DAYS),
            SearchSettings(trials=given.trials, time_budget_s=given.search_s, seed=SEED),
            directory=state.searches,
            cpus=cpus,
            progress=progress,
        )
        searched = _tested(
            examples,
            split,
            replace(recipe, candidates=candidates_of(found, latency_budget_ms=None)),
            progress,
            "searched parameters",
        )
        yield f"searched parameters ({len(found.trials)} trials)", _walked(examples, split, searched)


def _tested(examples: Examples, split: Split, recipe: Recipe, progress: Progress, name: str) -> Backtest:
    with progress.stage(name) as stage:
        return backtest(examples, split, recipe, on_done=lambda done: stage.show(f"{done} of {fits_of(recipe)} fits"))


def _stale(examples: Examples, split: Split, recipe: Recipe, progress: Progress) -> Backtest:
    """The opinions of members that never learn more than the first part."""
    first = split.before(PARTS[1])
    weight = recency_weights(
        examples.as_of_us[first], now_us=split.span_us[PARTS[1]][0], half_life_days=recipe.half_life_days
    )
    opinions = {}
    with progress.stage("fitted on the first part alone"):
        for part in PARTS[1:]:
            rows = examples.fold(first, split.rows[part], weight)
            fits = [Fit(kind, one.params, rows, SEED, one.max_rounds) for kind, (one,) in recipe.candidates.items()]
            opinions[part] = dict(zip(MEMBER_KINDS, opinions_of(fits, on_done=lambda _: None), strict=True))
    chosen = {kind: one for kind, (one,) in recipe.candidates.items()}
    return Backtest({part: split.rows[part] for part in PARTS[1:]}, opinions, chosen)


def _walked(
    examples: Examples,
    split: Split,
    tested: Backtest,
    *,
    only: str | None = None,
    weights: Mapping[str, float] | None = None,
    calibrated: bool = True,
) -> Vector:
    """The probabilities of the judged parts, each by rounds and a vote learned from the opinions before it."""
    said = []
    for part in JUDGED:
        rows = split.rows[part]
        opinions = tested.after(tested.best_rounds(PARTS[1 : PARTS.index(part)]))
        vote = learn_vote(opinions.between(0, rows.start), examples.y, examples.as_of_us, examples.user)
        if not calibrated:
            plain = dict.fromkeys(vote.weights, Calibration(slope=1.0, intercept=0.0))
            vote = replace(vote, calibrations=plain)
        said.append(_voted(vote, opinions.between(rows.start, rows.stop), only, weights))
    return np.concatenate(said)


def _voted(vote: Vote, opinions: OutOfTime, only: str | None, weights: Mapping[str, float] | None) -> Vector:
    members = vote.members(opinions.margins)
    return members[only] if only else combine(members, weights or vote.weights)


def _table(name: str, of_slice: Mapping[str, Mapping[str, dict[str, float]]], variants: list[str]) -> list[str]:
    counts = f"{of_slice['rows']:,} points, {of_slice['positives']:,} bought"
    lines = ["", f"### {name}: {counts}", "", "| variant | " + " | ".join(METRICS.values()) + " |"]
    lines.append("| --- |" + " --- |" * len(METRICS))
    whole = of_slice["quality"][ENSEMBLE]
    lines.append("| **the whole recipe** | " + " | ".join(f"**{whole[metric]:.4f}**" for metric in METRICS) + " |")
    for variant in variants[1:]:
        differences = of_slice["differences"][variant]
        cells = [_cell(of_slice["quality"][variant][m], whole[m], np.array(differences[m])) for m in METRICS]
        lines.append(f"| {variant} | " + " | ".join(cells) + " |")
    return lines


def _cell(value: float, whole: float, interval: NDArray[np.float64]) -> str:
    """The figure, and in brackets the 95 % interval of its difference to the whole recipe's."""
    low, high = -interval[1], -interval[0]
    return f"{value:.4f} ({value - whole:+.4f} [{low:+.4f}, {high:+.4f}])"
