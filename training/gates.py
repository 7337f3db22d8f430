"""What a bundle must show before it may serve: each gate says by how much it was missed."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from common.ensemble import Vector
from common.quality import Judged, UserResamples, interval
from training.evaluation import BASE_RATE, DRAWS, ENSEMBLE, Points

MAX_ECE = 0.05
"""The largest calibration error at which an answer may still be called a probability."""


def own_gates(slices: Mapping[str, Any]) -> list[str]:
    """The gates that a bundle misses by itself, from the figures of `training.evaluation`; empty if none."""
    overall = slices["all"]["quality"]
    ensemble, reference = overall[ENSEMBLE], overall[BASE_RATE]
    missed = []
    if not ensemble["log_loss"] < reference["log_loss"]:
        excess = ensemble["log_loss"] - reference["log_loss"]
        missed.append(f"log loss {ensemble['log_loss']:.4f} is {excess:.4f} above that of the base rate per kind")
    if not ensemble["ece"] <= MAX_ECE:
        missed.append(f"calibration error {ensemble['ece']:.4f} is {ensemble['ece'] - MAX_ECE:.4f} above {MAX_ECE}")
    return missed


def learned_later(champion: Mapping[str, Any], challenger: Mapping[str, Any]) -> bool:
    """Whether a champion learned from times in or after the challenger's untouched part: it would know the answers.

    Args:
        champion: the `data` of its manifest; one that does not say what it learned from is taken for fair.
        challenger: the `data` of the other's.
    """
    learned = champion.get("parts", {}).get("calibrate", {}).get("to", "")
    return bool(learned > challenger["parts"]["test"]["from"])


def champion_gate(points: Points, challenger: Vector, champion: Vector) -> list[str]:
    """Whether the champion is better on the same points beyond chance: the paired difference, users resampled.

    Args:
        points: the challenger's untouched part.
        challenger: its probabilities (n,).
        champion: the champion's (n,).
    """
    ours, theirs = Judged(points.y, challenger), Judged(points.y, champion)
    differences = [
        ours.quality(weight).log_loss - theirs.quality(weight).log_loss
        for weight in UserResamples(points.user, draws=DRAWS).weights()
    ]
    low, high = interval(np.array(differences))
    if low <= 0.0:
        return []
    excess = ours.quality().log_loss - theirs.quality().log_loss
    return [f"log loss is {excess:.5f} [{low:.5f}, {high:.5f}] above the champion's on the same points"]
