"""Finished bundles judged by a log: by its points that they have not learned, unless all are asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from common.bundle import Bundle
from common.clock import SECOND_US, to_iso
from common.errors import InputError
from common.holdout import Holdout, of_points
from training.comparison import MARGIN, Verdict, difference
from training.evaluation import ENSEMBLE, evaluate
from training.examples import Examples
from training.judgement import candidates_of, points_of
from training.prediction import Predictor
from training.promotion import learned_to_us


@dataclass(frozen=True)
class Review:
    """A bundle's figures on a log, in the form of its manifest's metrics, and what it said of each judged point.

    `called` is what the registry calls it: `champion, no 7`.
    """

    version: str
    called: str
    metrics: dict[str, Any]
    said: Holdout


def review(bundle: Bundle, examples: Examples, truth: Path | None, *, called: str, include_learned: bool) -> Review:
    """Judge a bundle.

    A label that it learned can be about purchases up to one horizon after its point, so points count from one horizon
    after the last that it learned.

    Args:
        bundle: what is judged.
        examples: a log's, made with the bundle's catalog and label horizon.
        truth: a file of true probabilities, if there is one.
        called: what the registry calls the bundle.
        include_learned: judge points that it has learned, too: figures that flatter.

    Raises:
        InputError: every point of the log is from what it learned.
    """
    manifest = bundle.manifest
    unseen_us = learned_to_us(bundle) + manifest.label_horizon_s * SECOND_US
    first = int(np.searchsorted(examples.as_of_us, unseen_us))
    rows = slice(0 if include_learned else first, len(examples))
    if rows.start == len(examples):
        raise InputError(
            f"{bundle.version} learned from points up to {to_iso(learned_to_us(bundle))[:16]}; all {len(examples):,} "
            f"labelled points of the log are from before {to_iso(unseen_us)[:16]}: it may know their labels",
            remedy="Give a log that goes on for longer, or judge by what it knows with --include-learned",
        )
    of_members = Predictor(bundle).members_of(examples.x(block) for block in examples.blocks(rows))
    candidates = candidates_of(
        examples, rows, of_members, weights=manifest.weights, rates=manifest.metrics["base_rates"], truth=truth
    )
    slices = evaluate(
        points_of(examples, rows),
        candidates,
        threshold=manifest.threshold,
        balanced_thresholds=manifest.metrics["balanced_thresholds"],
    )
    metrics = {
        "part": "all" if include_learned else "unlearned",
        "points": {
            "judged": rows.stop - rows.start,
            "left_out": rows.start,
            "learned": first if include_learned else 0,
            "from": to_iso(int(examples.as_of_us[rows.start])),
            "to": to_iso(int(examples.as_of_us[-1])),
        },
        "slices": slices,
    }
    points = examples.table(["user", "session", "product", "kind", "as_of_us"], rows)
    said = of_points(points, examples.y[rows], candidates[ENSEMBLE], of_members)
    return Review(bundle.version, called, metrics, said)


def side_by_side(reviews: Sequence[Review]) -> list[Mapping[str, Any]]:
    """Each bundle's log loss on the points that all were judged by, and its difference to the first one's, paired."""
    shared = reduce(np.intersect1d, (of.said.point for of in reviews))
    first, *others = (_on(of, shared) for of in reviews)
    rows: list[Mapping[str, Any]] = []
    for of, said in zip(reviews, (first, *others), strict=True):
        found = difference(said.label, said.ensemble, first.ensemble, said.user) if len(shared) else None
        rows.append(
            {
                "version": of.version,
                "called": of.called,
                "points": len(shared),
                "log_loss": found.ours if found else None,
                "difference": found.ours - found.theirs if found else None,
                "interval": found.interval if found else None,
                "verdict": found.verdict().value if found else Verdict.IMPOSSIBLE.value,
            }
        )
    return rows


_NO_HISTORY = (
    "the log begins after what it learned, so shoppers' histories are empty at first, which costs it: give the log "
    "before it too (what it has learned of that is left out)"
)


def title(of: Review) -> str:
    """What the figures of a review are worth, above its table."""
    points = of.metrics["points"]
    span = f"{points['from'][:16].replace('T', ' ')} to {points['to'][:16].replace('T', ' ')}"
    judged = f"{of.version} ({of.called}) on {points['judged']:,} points from {span}"
    if points["learned"]:
        return f"{judged}: IT HAS LEARNED {points['learned']:,} OF THEM, so these figures flatter it"
    left_out = f"{points['left_out']:,} earlier ones are left out" if points["left_out"] else _NO_HISTORY
    return f"{judged}, none of which it has learned; {left_out}"


def verdicts(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """A sentence for each bundle but the first: whether it is better than that one, and how surely."""
    return [_verdict(row, rows[0]) for row in rows[1:]]


def _verdict(row: Mapping[str, Any], first: Mapping[str, Any]) -> str:
    ours, theirs = (f"{of['version']} ({of['called']})" for of in (row, first))
    if row["difference"] is None:
        return f"{ours} cannot be compared with {theirs}: there is no point that both were judged by"
    low, high = row["interval"]
    found = f"log loss {row['difference']:+.4f}, 95 % interval {low:+.4f} to {high:+.4f}, {row['points']:,} points"
    return f"{ours} is {_SAID[row['verdict']]} {theirs}: {found}"


_SAID = {
    Verdict.BETTER: "better than",
    Verdict.NOT_WORSE: f"not more than {MARGIN * 100:g} % worse than",
    Verdict.WORSE: "worse than",
    Verdict.UNCLEAR: "too near to tell from",
}


def side_by_side_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """`side_by_side` for people; where it is narrow cells are folded, never cut."""
    table = Table(title=f"on the {rows[0]['points']:,} points that all were judged by", title_justify="left", box=None)
    for column in ("version", "called", "log loss", "less the first's", "95 % interval"):
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(row["version"], row["called"], *_cells(row))
    return table


def _cells(row: Mapping[str, Any]) -> list[str]:
    if row["log_loss"] is None:
        return ["-", "-", "-"]
    low, high = row["interval"]
    return [f"{row['log_loss']:.4f}", f"{row['difference']:+.4f}", f"{low:+.4f} to {high:+.4f}"]


def _on(of: Review, points: Any) -> Holdout:
    order = np.argsort(of.said.point, kind="stable")
    return of.said.rows(order[np.searchsorted(of.said.point[order], points)])
