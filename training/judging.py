"""What a recipe is worth: judged on the last part of the log, which nothing that is judged has learned."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.bundle import Bundle
from common.ensemble import Vector
from common.holdout import Holdout, of_points
from training.backtest import Backtest, OutOfTime
from training.comparison import champions_word
from training.evaluation import ENSEMBLE, base_rates, evaluate
from training.example_store import Rows
from training.examples import Examples
from training.judgement import balanced_thresholds, candidates_of, points_of
from training.profit import Economics, Outcomes, judge_profit
from training.promotion import VectorsOf, contestant_of, predicting
from training.reporting import CHAMPION, HeldOut
from training.split import PARTS, Split
from training.vote import Vote, learn_vote


@dataclass(frozen=True)
class Judged:
    """A recipe's figures, and what they were found by.

    `vote` was learned before the last part. `held_out` are all candidates on that part, `chosen_on` the ensemble on
    the parts between, by which rounds, vote and thresholds were chosen. `holdout` goes into the bundle.
    """

    vote: Vote
    metrics: dict[str, Any]
    held_out: HeldOut
    chosen_on: HeldOut
    holdout: Holdout


def judge_recipe(
    examples: Examples,
    split: Split,
    tested: Backtest,
    economics: Economics,
    *,
    truth: Path | None,
    champion: Bundle | None,
) -> Judged:
    """Choose rounds and vote by what is older than the last part, and judge them there.

    Args:
        examples: of the whole log.
        split: its parts.
        tested: the members' opinions of them.
        economics: what a contact costs and a purchase earns.
        truth: a file of true probabilities, if there is one.
        champion: judged beside, if it has an honest word on every point of the last part.
    """
    test, before = split.rows["test"], split.before("test")
    opinions = tested.after(tested.best_rounds(PARTS[1:-1]))
    earlier, last = opinions.between(0, test.start), opinions.between(test.start, test.stop)
    vote = learn_vote(earlier, examples.y, examples.as_of_us, examples.user)
    of_members = vote.members(last.margins)
    rates = base_rates(examples.kind[before], examples.y[before])
    candidates = candidates_of(examples, test, of_members, weights=vote.weights, rates=rates, truth=truth)
    points = examples.table(["user", "session", "product", "kind", "as_of_us"], test)
    said = of_points(points, examples.y[test], candidates[ENSEMBLE], of_members)
    theirs = _champion_on(said, examples, test, champion)
    if theirs is not None:
        candidates[CHAMPION] = theirs
    chosen_on = _held(examples, earlier.rows, {ENSEMBLE: vote.probability(earlier.margins)})
    held_out = _held(examples, test, candidates)
    slices = evaluate(
        points_of(examples, test),
        candidates,
        threshold=vote.threshold,
        balanced_thresholds=balanced_of(examples, earlier, vote),
        of_candidates={
            name: balanced_thresholds(points_of(examples, earlier.rows), p)
            for name, p in vote.members(earlier.margins).items()
        },
    )
    profit = judge_profit(_outcomes(chosen_on), _outcomes(held_out), economics)
    metrics = {"part": "test", "slices": slices, "base_rates": rates, "profit": profit.as_dict()}
    return Judged(vote, metrics, held_out, chosen_on, said)


def balanced_of(examples: Examples, opinions: OutOfTime, vote: Vote) -> dict[str, float]:
    """The thresholds of the best F1 at 1:1 of a vote on some opinions, by slice."""
    return balanced_thresholds(points_of(examples, opinions.rows), vote.probability(opinions.margins))


def vectors_of(examples: Examples, test: slice) -> VectorsOf:
    """The vectors of rows of the last part, by their numbers in it."""
    return lambda rows: examples.x(rows + test.start)


def _champion_on(said: Holdout, examples: Examples, test: slice, champion: Bundle | None) -> Vector | None:
    """What the champion said of the points, each without having learned it; None where it has no such word on some."""
    if champion is None:
        return None
    predict = predicting(champion, vectors_of(examples, test))
    theirs, shared, fresh = champions_word(said, contestant_of(champion), predict)
    return theirs if bool((shared | fresh).all()) else None


def _held(examples: Examples, rows: Rows, probabilities: dict[str, Vector]) -> HeldOut:
    return HeldOut(examples.y[rows], examples.kind[rows], examples.user[rows], probabilities)


def _outcomes(held: HeldOut) -> Outcomes:
    return Outcomes(held.y, held.probabilities[ENSEMBLE], held.user)
