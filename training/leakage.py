"""Whether a run could have known its answers: checks on the run's own rows, each of which can fail.

They are evidence, not proof: a leak that none of them can see is possible. Each looks where leaks of event logs are
found in practice: a label that reaches into the next part, a feature that is the answer, rows that are in two parts, a
vector that changes when the future is cut off, users that are recognised rather than understood.

References: Kaufman, Rosset & Perlich (2012), Leakage in data mining: formulation, detection, and avoidance; Kapoor &
Narayanan (2023), Leakage and the reproducibility crisis in machine-learning-based science.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import ray
from numpy.typing import NDArray
from scipy.stats import rankdata

from common.clock import HOUR_US
from common.ensemble import Vector
from common.members import Fold, Matrix, adapter
from common.quality import Judged, UserResamples, interval, quality
from common.replay import x_matrix
from training.evaluation import SLICES

SAMPLE_ROWS = 20_000
"""Rows of a part that are enough for a check: an AUC of as many, one in ten bought, is known within 0.013."""

MAX_FEATURE_AUC = 0.95
"""Above this, one feature alone tells who buys: no behaviour before a decision is that telling."""

MIN_OUTCOMES = 20
"""A slice with fewer of either outcome says nothing about an AUC near 1."""

MAX_SEEN_ADVANTAGE = 0.05
"""How much more AUC known users may have over new ones: a longer history is worth some, a remembered user more."""

TWIN_ROUNDS = 60
_TWIN_SIGMAS = 4.0

Key = tuple[str, str, str, int, int]


@dataclass(frozen=True)
class Check:
    """One check: whether it was passed, what was found in a sentence, and the figure that decided."""

    name: str
    passed: bool
    detail: str
    figure: float | None = None


@dataclass(frozen=True)
class Part:
    """Rows of one part: vectors X (n, f), outcomes y, kind and user (n,)."""

    X: Matrix
    y: NDArray[np.int8]
    kind: NDArray[np.int8]
    user: NDArray[Any]


def silence_check(as_of_us: NDArray[np.int64], rows: Mapping[str, slice], *, horizon_us: int) -> Check:
    """Whether the last label of every part was known before the next part begins.

    Args:
        as_of_us: the times of all points, ascending (n,).
        rows: the parts in order of time.
        horizon_us: how long after its point a label looks.
    """
    spans = {name: as_of_us[part] for name, part in rows.items() if len(as_of_us[part])}
    gaps_us = {
        f"{before} and {after}": int(spans[after].min()) - int(spans[before].max()) - horizon_us
        for before, after in pairwise(spans)
    }
    nearest = min(gaps_us, key=lambda name: gaps_us[name])
    gap_h = gaps_us[nearest] / HOUR_US
    return Check(
        "labels end before the next part begins",
        gap_h >= 0.0,
        f"Between {nearest}, the nearest of {len(spans)} parts, {gap_h:.2f} h are left after the last label's horizon.",
        gap_h,
    )


def single_feature_check(part: Part, names: Sequence[str], *, limit: float = MAX_FEATURE_AUC) -> Check:
    """Whether no feature tells, all by itself, who buys, in any slice: its AUC, turned around where below 0.5."""
    strongest, where = 0.5, ("none", "all")
    for slice_name, kind in SLICES.items():
        rows = np.ones(len(part.y), dtype=bool) if kind is None else part.kind == kind
        aucs = _feature_aucs(part.X[rows], part.y[rows])
        if len(aucs) and aucs.max() > strongest:
            strongest, where = float(aucs.max()), (names[int(aucs.argmax())], slice_name)
    return Check(
        "no single feature gives the answer away",
        strongest <= limit,
        f"The most telling feature alone is {where[0]}, AUC {strongest:.3f} in {where[1]}; suspicious above {limit}.",
        strongest,
    )


def _feature_aucs(X: Matrix, y: NDArray[np.int8]) -> Vector:
    bought = y > 0
    positives, negatives = int(bought.sum()), int((~bought).sum())
    if min(positives, negatives) < MIN_OUTCOMES:
        return np.zeros(0)
    ranks = rankdata(X, axis=0)[bought].sum(axis=0)
    auc = (ranks - positives * (positives + 1) / 2.0) / (positives * negatives)
    result: Vector = np.maximum(auc, 1.0 - auc)
    return result


def shuffled_twin_check(learned: Part, judged: Part, *, seed: int) -> Check:
    """Whether a model that learns shuffled labels knows nothing of the judged part's: fitted in a Ray worker.

    Equal vectors keep equal labels, so that rows which are in both parts, by mistake, are recognised.

    References: Ojala & Garriga (2010), Permutation tests for studying classifier performance.
    """
    task = ray.remote(num_cpus=1)(twin_aucs)
    shuffled, true = ray.get(task.remote(learned.X, learned.y, judged.X, judged.y, seed))
    return twin_verdict(shuffled, true, judged.y)


def twin_aucs(
    X: Matrix, y: NDArray[np.int8], X_judged: Matrix, y_judged: NDArray[np.int8], seed: int
) -> tuple[float, float]:
    """The AUC of a small booster on labels shuffled in both parts alike, and on the true ones."""
    labels = _shuffled(np.concatenate([X, X_judged]), np.concatenate([y, y_judged]), seed)
    shuffled = _auc_of_fit(X, labels[: len(y)], X_judged, labels[len(y) :], seed)
    return shuffled, _auc_of_fit(X, y, X_judged, y_judged, seed)


def twin_verdict(shuffled: float, true: float, y_judged: NDArray[np.int8]) -> Check:
    """What the twin's AUC means, beside chance for so many points."""
    positives = float(y_judged.sum())
    negatives = len(y_judged) - positives
    chance = math.sqrt((len(y_judged) + 1) / (12.0 * positives * negatives)) if positives * negatives else math.inf
    allowed = _TWIN_SIGMAS * chance
    return Check(
        "a twin fitted on shuffled labels knows nothing",
        abs(shuffled - 0.5) <= allowed,
        f"AUC {shuffled:.3f}, by chance within {0.5 - allowed:.3f} to {0.5 + allowed:.3f}; "
        f"the same small model on the true labels has {true:.3f}.",
        shuffled,
    )


def _shuffled(X: Matrix, y: NDArray[np.int8], seed: int) -> NDArray[np.int8]:
    rows = np.ascontiguousarray(X).view(np.dtype((np.void, X.dtype.itemsize * X.shape[1]))).reshape(-1)
    _, first, vector = np.unique(rows, return_index=True, return_inverse=True)
    result: NDArray[np.int8] = np.random.default_rng(seed).permutation(y[first])[vector.reshape(-1)]
    return result


def _auc_of_fit(X: Matrix, y: NDArray[np.int8], X_judged: Matrix, y_judged: NDArray[np.int8], seed: int) -> float:
    module = adapter("lightgbm")
    fold = Fold(X, y, X[:0], y[:0])
    fitted = module.fit(fold, dict(module.DEFAULTS), seed=seed, threads=1, rounds=TWIN_ROUNDS)
    return quality(y_judged, fitted.margin(X_judged)).roc_auc


Replay = Callable[[pa.Table, int], pa.Table]
"""Replays canonical events that end at an instant (microseconds) into `common.replay.EXAMPLE_SCHEMA`."""


def future_check(points: pa.Table, events: pa.Table, replay: Replay) -> Check:
    """Whether vectors are the same, bit for bit, when the log is cut off at their instant.

    Args:
        points: some examples as they were learned from, in `EXAMPLE_SCHEMA` (label and censored are not needed).
        events: the whole canonical log of these points' users.
        replay: replays events as the run did, with a catalog of earlier days alone.
    """
    stored, changed, missing = x_matrix(points), set(), 0
    names = ("user", "session", "product", "as_of_us", "kind")
    for key, x in zip(zip(*(points[name].to_pylist() for name in names), strict=True), stored, strict=True):
        past = events.filter(pc.and_(pc.equal(events["user"], key[0]), pc.less_equal(events["time_us"], key[3])))
        again = _vector_of(replay(past, key[3]), key)
        if again is None:
            missing += 1
        elif again.tobytes() != x.tobytes():
            changed.add(key)
    wrong = missing + len(changed)
    verb = "is the same bit for bit" if not wrong else f"is not the same for {wrong} of them"
    return Check(
        "vectors do not change when the future is cut off",
        wrong == 0 and points.num_rows > 0,
        f"{points.num_rows} points were replayed from a log that ends at their instant: the vector {verb}.",
        float(wrong),
    )


def _vector_of(table: pa.Table, key: Key) -> NDArray[np.float32] | None:
    wanted = np.ones(table.num_rows, dtype=bool)
    for name, value in zip(("user", "session", "product", "as_of_us", "kind"), key, strict=True):
        wanted &= pc.equal(table[name], pa.scalar(value, table[name].type)).to_numpy(zero_copy_only=False)
    rows = np.flatnonzero(wanted)
    return x_matrix(table)[rows[0]] if len(rows) else None


def known_users_check(learned_users: NDArray[Any], judged: Part, p: Vector, *, draws: int = 200) -> Check:
    """Whether the ensemble is about as good for users that it never met as for those that it learned from.

    Args:
        learned_users: the users of all rows that were learned from.
        judged: the untouched part.
        p: the ensemble's probabilities of that part (n,).
        draws: how often users are drawn for the interval.
    """
    rows = np.arange(len(p))[:: max(1, len(p) // (2 * SAMPLE_ROWS))]
    y, p, user = judged.y[rows], p[rows], judged.user[rows]
    seen = np.isin(user, learned_users)
    overlap = float(seen.mean())
    told = f"{overlap * 100:.1f} % of the judged points are of users with points in training"
    halves = [Judged(y[mask], p[mask]) for mask in (seen, ~seen)]
    aucs = [half.quality().roc_auc for half in halves]
    name = "new users are judged as well as known ones"
    if not all(map(math.isfinite, aucs)):
        return Check(name, True, f"{told}; one of the groups has not both outcomes, so they are not compared.", overlap)
    drawn = UserResamples(user, draws=draws).weights()
    low, high = interval(
        np.array([halves[0].quality(w[seen]).roc_auc - halves[1].quality(w[~seen]).roc_auc for w in drawn])
    )
    return Check(
        name,
        low <= MAX_SEEN_ADVANTAGE,
        f"{told}. AUC of known users {aucs[0]:.3f}, of new ones {aucs[1]:.3f}: difference {aucs[0] - aucs[1]:+.3f} "
        f"[{low:+.3f}, {high:+.3f}]; suspicious where all of that is above {MAX_SEEN_ADVANTAGE}.",
        overlap,
    )
