"""All leakage checks of a training run, on samples that keep them to seconds."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import ray
from numpy.typing import NDArray

from common.ensemble import Vector
from common.eventlog import Bounds
from common.feature_specs import NAMES
from training.examples import Examples
from training.leakage import (
    SAMPLE_ROWS,
    Check,
    Part,
    known_users_check,
    shuffled_twin_check,
    silence_check,
    single_feature_check,
)
from training.reading import errors_of_tasks
from training.split import Split
from training.truncated_replay import check_against_log, sampled_points


def run_checks(
    examples: Examples,
    split: Split,
    p: Vector,
    events: Sequence[Path],
    *,
    horizon_us: int,
    seed: int,
    bounds: Bounds,
) -> list[Check]:
    """Every check, in the order in which a report shows them.

    Args:
        examples: of the log.
        split: its parts.
        p: what the judged ensemble said of the part `test` (m,).
        events: the log's files: one of the checks reads them again.
        horizon_us: how long after its point a label looks.
        seed: of the samples and of the shuffled labels.
        bounds: which times the run has read.
    """
    test, before = split.rows["test"], split.before("test")
    task = ray.remote(num_cpus=1)(check_against_log)
    replayed = task.remote(sampled_points(examples, seed=seed), list(events), horizon_us=horizon_us, bounds=bounds)
    learned, judged = _sample(examples, before), _sample(examples, test)
    everyone = Part(learned.X[:0], examples.y[test], examples.kind[test], examples.user[test])
    return [
        silence_check(examples.as_of_us, split.rows, horizon_us=horizon_us),
        single_feature_check(judged, NAMES),
        shuffled_twin_check(learned, judged, seed=seed),
        known_users_check(np.unique(examples.user[before]), everyone, p),
        _answer(replayed),
    ]


def _sample(examples: Examples, part: slice) -> Part:
    rows: NDArray[np.int64] = np.unique(np.linspace(part.start, part.stop - 1, SAMPLE_ROWS).astype(np.int64))
    return Part(examples.x(rows), examples.y[rows], examples.kind[rows], examples.user[rows])


def _answer(task: "ray.ObjectRef[Check]") -> Check:
    with errors_of_tasks():
        check: Check = ray.get(task)
    return check
