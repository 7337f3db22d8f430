"""The report in plain words: what it is, how good, compared with what, may it serve, and what to worry about."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from training.evaluation import BASE_RATE, DEFAULT_VOTE, ENSEMBLE
from training.gates import CHAMPION as CHAMPION_GATE
from training.gates import missed, sentence
from training.reporting.content import CHAMPION, ReportData
from training.reporting.difference_figures import tone
from training.reporting.wording import best_member, bounds, candidate_title, day, is_nothing, number, percent

TIGHT_ECE = 0.02
"""A slice whose probabilities are further off than this on average, and than chance explains, deserves a word."""

FEW_BUYERS = 200
"""With fewer buyers in a slice its intervals are too wide to tell good models apart."""

DRIFT = 0.15
"""A base rate that moved by more than this share of itself between learning and judging deserves a word."""


@dataclass(frozen=True)
class Verdict:
    """The first lines of a report: what it is, what is said of promotion and why, and worries in order of weight.

    `tone` is "good" where all that there is to ask was asked and passed, "bad" where a gate was missed, else "open".
    """

    sentences: Sequence[str]
    tone: str
    badge: str
    reasons: Sequence[str]
    worries: Sequence[str]


def verdict(report: ReportData) -> Verdict:
    """Put a run into words."""
    reasons = [sentence(gate) for gate in missed(report.gates)]
    sentences = [_what(report), _how_good(report.metrics["slices"]), *_compared(report)]
    return Verdict(sentences, *_promotion(report), reasons, _worries(report))


def _promotion(report: ReportData) -> tuple[str, str]:
    """The badge's tone and words: green says no less than a promotion would ask."""
    if missed(report.gates):
        return "bad", "Must not be promoted yet"
    if report.champion_version and all(gate.name != CHAMPION_GATE for gate in report.gates):
        return "open", "Own gates passed; not compared with the champion"
    return "good", "May be promoted: every gate that was asked is passed"


def _what(report: ReportData) -> str:
    hours, test = report.label_horizon_s / 3_600, report.data["parts"]["test"]
    weighty = [candidate_title(name) for name, weight in report.weights.items() if weight > 0.0]
    members = "one model" if len(weighty) == 1 else f"a vote of {', '.join(weighty[:-1])} and {weighty[-1]}"
    learned = "; the trees that are served have since learned from all of the log" if "learned" in report.data else ""
    return (
        f"This is {members} that says how probable it is that a shopper buys the product in front of them within "
        f"{hours:g} hours. It is judged on {test['points']:,} decision points from {day(test['from'])} to "
        f"{day(test['to'])}, as told by models that had not seen them{learned}."
    )


def _how_good(slices: Mapping[str, Any]) -> str:
    overall = slices["all"]
    ours, base = overall["quality"][ENSEMBLE], overall["quality"][BASE_RATE]
    saved = 1.0 - ours["log_loss"] / base["log_loss"] if base["log_loss"] else None
    return (
        f"It ranks a buyer above a non-buyer in {percent(ours['roc_auc'])} of pairs; its log loss of "
        f"{number(ours['log_loss'], 4)} {bounds(overall['intervals']['log_loss'], 4)} is {percent(saved)} below that "
        f"of the base rates; its probabilities are off by {number((ours['ece'] or 0.0) * 100, 1)} percentage points "
        "on average."
    )


def _compared(report: ReportData) -> list[str]:
    overall = report.metrics["slices"]["all"]
    best = best_member(overall["quality"])
    against = [name for name in (best, DEFAULT_VOTE, CHAMPION) if name and name in overall["differences"]]
    said = [_against(name, overall["differences"][name], name == best) for name in against]
    return [f"Judged by the difference in log loss on the same points it is {', '.join(said)}."] if said else []


def _against(name: str, differences: Mapping[str, Any], is_best_member: bool) -> str:
    pair = differences["log_loss"]
    title = f"its best member, {candidate_title(name)}" if is_best_member else f"the {candidate_title(name).lower()}"
    if is_nothing(pair, 4):
        return f"equal to {title}"
    word = {
        "good": "better than",
        "bad": "worse than",
        "": "not told apart from",
    }[tone("log_loss", pair)]
    return f"{word} {title} {bounds(pair, 4, signed=True)}"


def _worries(report: ReportData) -> list[str]:
    return [
        *(f"Leakage check failed: {check.name}. {check.detail}" for check in report.checks if not check.passed),
        *_calibration(report.metrics["slices"]),
        *_drift(report.data.get("parts", {})),
        *_few(report.metrics["slices"]),
        *_beaten(report.metrics["slices"]),
    ]


def _calibration(slices: Mapping[str, Any]) -> list[str]:
    off = [
        f"{number(ece * 100, 1)} for {_plural(name)}"
        for name, of_slice in slices.items()
        if (ece := of_slice["quality"][ENSEMBLE]["ece"]) is not None
        and ece > max(TIGHT_ECE, of_slice["ece_by_chance"][1] or 0.0)
    ]
    return [f"Probabilities are off by many percentage points on average: {', '.join(off)}."] if off else []


def _drift(parts: Mapping[str, Any]) -> list[str]:
    if "fit" not in parts or not parts["fit"]["bought"] or not parts["test"]["points"]:
        return []
    was, now = (parts[name]["bought"] / parts[name]["points"] for name in ("fit", "test"))
    if abs(now / was - 1.0) <= DRIFT:
        return []
    return [f"The base rate moved from {percent(was)} while learning to {percent(now)} while judging: the shop drifts."]


def _few(slices: Mapping[str, Any]) -> list[str]:
    return [
        f"Only {of_slice['positives']:,} buyers among {_plural(name)}: figures of that slice are rough."
        for name, of_slice in slices.items()
        if of_slice["rows"] and of_slice["positives"] < FEW_BUYERS
    ]


def _beaten(slices: Mapping[str, Any]) -> list[str]:
    return [
        f"For {_plural(name)} {candidate_title(candidate)} has the better log loss beyond chance."
        for name, of_slice in slices.items()
        for candidate, differences in of_slice["differences"].items()
        if candidate != "truth" and tone("log_loss", differences["log_loss"]) == "bad"
    ]


def _plural(slice_name: str) -> str:
    return {"view": "views", "cart": "carts", "all": "all points"}[slice_name]
