"""The card that lies in a bundle: what the model is for, how good it is, for whom not, in Markdown, from its manifest.

References: Mitchell et al. (2019), Model cards for model reporting (the sections and their order); Gebru et al. (2021),
Datasheets for datasets (what is said of the data).
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from common.bundle import Manifest
from common.feature_specs import SPECS
from training.evaluation import ENSEMBLE, SLICES
from training.gates import MAX_ECE
from training.leakage import Check
from training.reporting.decisions import PER_POINTS
from training.reporting.wording import (
    DIGITS,
    METRIC_TITLES,
    SLICE_TITLES,
    bounds,
    candidate_title,
    compact,
    day,
    in_order,
    number,
    percent,
)

FILE = "model_card.md"
_MOST_IMPORTANT = 15

_BRACKETS = "In brackets 95 % intervals, users resampled; of the calibration error its spread (see Calibration)."
_ALLOWED = (
    "- Promotion allows, beyond what chance adds, "
    + ", ".join(f"{100.0 * limit:g} over {SLICE_TITLES[name].lower()}" for name, limit in MAX_ECE.items())
    + " percentage points."
)


def model_card(
    manifest: Manifest, *, profit: Mapping[str, Any] | None = None, checks: Sequence[Check] = (), command: str = ""
) -> str:
    """The card of a bundle.

    Args:
        manifest: of the bundle; what it does not say is left out of the card.
        profit: `training.profit.ProfitReport.as_dict()` of the run, if there is one.
        checks: the run's leakage checks, if there are such.
        command: the command line that made the bundle, for whoever wants to make it again.
    """
    sections = [
        f"# Model card: Cartcast {manifest.version}",
        _details(manifest),
        _intended_use(manifest),
        _factors(),
        _metrics(manifest),
        _calibration(manifest),
        _thresholds(manifest, profit),
        _data(manifest),
        _checks(checks),
        _features(manifest),
        _limitations(manifest),
        _ETHICS,
        _reproduce(manifest, command),
    ]
    return "\n\n".join(section.strip() for section in sections if section) + "\n"


def _details(manifest: Manifest) -> str:
    rows = [
        (
            candidate_title(member.name),
            number(member.weight, 3),
            ", ".join(f"{name} {_param(value)}" for name, value in member.params.items()),
        )
        for member in manifest.members
    ]
    return f"""
Made {manifest.created}. A soft vote of {len(rows)} tree ensembles, each calibrated on log-odds (two parameters).
Feature schema `{manifest.feature_schema}`, {len(manifest.features)} features.

{_table(("Member", "Weight", "Parameters"), rows)}
"""


def _param(value: Any) -> str:
    return compact(value) if isinstance(value, int | float) else str(value)


def _intended_use(manifest: Manifest) -> str:
    hours = manifest.label_horizon_s / 3_600
    return f"""
## Intended use

- It answers one question: with what probability does this shopper buy this product within {hours:g} hours?
- It is asked when a shopper views a product, or puts it in the cart, for the first time in a session.
- For ranking, reminders, offers and forecasts in the shop whose log it learned from, by people who run that shop.
- Not for deciding on prices, credit or access of single persons, and not for another shop: train it on that shop's log.
- It predicts what happens if nothing is done. What a message or a discount changes, only an experiment tells.
"""


def _factors() -> str:
    return """
## Factors

Figures are given for first views, first carts, and both: the two kinds of question differ in base rate and difficulty.
The log says nothing of who shoppers are (age, sex, origin), so figures by such groups cannot be given.
"""


def _metrics(manifest: Manifest) -> str:
    slices = manifest.metrics.get("slices")
    if not slices:
        return ""
    tables = [
        f"**{SLICE_TITLES[name]}**: {of_slice['rows']:,} points, {of_slice['positives']:,} bought\n\n"
        + _table(
            ("Candidate", *(METRIC_TITLES[metric] for metric in DIGITS)),
            [_quality_row(candidate, of_slice) for candidate in in_order(list(of_slice["quality"]))],
        )
        for name, of_slice in slices.items()
        if of_slice["rows"]
    ]
    return f"## Metrics\n\nOn the {_part(manifest)}. {_BRACKETS}\n\n" + "\n\n".join(tables)


def _part(manifest: Manifest) -> str:
    test = manifest.data.get("parts", {}).get("test")
    span = f", {day(test['from'])} to {day(test['to'])}" if test else ""
    return f"untouched last part of the log{span}, by a twin that had not learned it"


def _quality_row(candidate: str, of_slice: Mapping[str, Any]) -> list[str]:
    figures = of_slice["quality"][candidate]
    interval = of_slice["intervals"] if candidate == ENSEMBLE else None
    return [
        f"**{candidate_title(candidate)}**" if interval else candidate_title(candidate),
        *(
            number(figures[metric], digits) + (f" {bounds(interval[metric], digits)}" if interval else "")
            for metric, digits in DIGITS.items()
        ),
    ]


def _calibration(manifest: Manifest) -> str:
    slices = manifest.metrics.get("slices")
    if not slices:
        return ""
    lines = [
        _calibration_line(name, of_slice)
        for name, of_slice in slices.items()
        if of_slice["quality"][ENSEMBLE]["ece"] is not None
    ]
    said = (
        "By how many percentage points probabilities are off on average (ECE, 15 bins of equal mass). Noise inflates "
        "that figure: hold it against what perfect probabilities would show of the same points."
    )
    return "\n".join(["## Calibration", "", said, "", *lines, _ALLOWED])


def _calibration_line(name: str, of_slice: Mapping[str, Any]) -> str:
    found, (low, high) = of_slice["quality"][ENSEMBLE]["ece"], of_slice["intervals"]["ece"]
    expected, hardly_more = of_slice["ece_by_chance"]
    return (
        f"- {SLICE_TITLES[name]}: {_hundredths(found)}; spread of 95 % under resampling {_hundredths(low)} to "
        f"{_hundredths(high)}. Perfect probabilities would show {_hundredths(expected)} by chance, and hardly more "
        f"than {_hundredths(hardly_more)}."
    )


def _hundredths(share: float | None) -> str:
    return number(None if share is None else 100.0 * share, 2)


def _thresholds(manifest: Manifest, profit: Mapping[str, Any] | None) -> str:
    lines = [f"- {manifest.threshold:.4f}: the best F1 on the calibration part. `recommendation` acts on it."]
    balanced = manifest.metrics.get("balanced_thresholds", {})
    for name in SLICES:
        figures = manifest.metrics.get("slices", {}).get(name, {})
        if name in balanced and figures.get("balanced_f1") is not None:
            f1 = f"{number(figures['balanced_f1'], 3)} {bounds(figures['balanced_f1_interval'], 3)}"
            lines.append(
                f"- {balanced[name]:.4f}: the best F1 at 1:1 for {SLICE_TITLES[name].lower()}; there it is {f1}."
            )
    if profit:
        lines.append(_profit_line(profit))
    return "\n".join(["## Thresholds", "", *lines])


def _profit_line(profit: Mapping[str, Any]) -> str:
    chosen, economics = profit["chosen"], profit["economics"]
    scaled = [bound * PER_POINTS for bound in chosen["interval"]]
    return (
        f"- {chosen['threshold']:.4f}: the best profit, if a purchase earns {economics['margin']:g}, a contact costs "
        f"{economics['contact_cost']:g} and causes {percent(economics['caused_share'], 0)} of the purchases that "
        f"follow it. It earned {number(chosen['profit'] * PER_POINTS, 1)} {bounds(scaled, 1)} per {PER_POINTS:,} "
        f"points; the break-even threshold {profit['break_even']['threshold']:.4f} earned "
        f"{number(profit['break_even']['profit'] * PER_POINTS, 1)}."
    )


def _data(manifest: Manifest) -> str:
    data = manifest.data
    if not data:
        return ""
    rows = data.get("rows", {})
    kinds = ", ".join(f"{count:,} {name}" for name, count in rows.get("kinds", {}).items())
    aside = sum(data.get("quarantine", {}).values())
    lines = [
        f"- {rows.get('kept', 0):,} events ({kinds}); {aside:,} rows were set aside because they broke the schema."
    ]
    if "time_range" in data:
        lines.append(f"- From {data['time_range'][0]} to {data['time_range'][1]}.")
    lines.append(
        f"- {data.get('points', 0):,} decision points with a known outcome, {data.get('censored', 0):,} without."
    )
    if "learned" in data:
        learned = data["learned"]
        lines.append(f"- The served trees learned from {learned['from']} to {learned['to']}.")
    parts = [
        (name, day(part["from"]), day(part["to"]), f"{part['points']:,}", percent(_rate(part)))
        for name, part in data.get("parts", {}).items()
    ]
    table = _table(("Part", "From", "To", "Points", "Bought"), parts) if parts else ""
    return "\n".join(["## Data", "", *lines, "", table])


def _rate(part: Mapping[str, Any]) -> float | None:
    return part["bought"] / part["points"] if part["points"] else None


def _checks(checks: Sequence[Check]) -> str:
    if not checks:
        return ""
    lines = [f"- {'passed' if check.passed else '**failed**'}: {check.name}. {check.detail}" for check in checks]
    return "\n".join(["## Leakage checks", "", *lines])


def _features(manifest: Manifest) -> str:
    meanings = {spec.name: spec for spec in SPECS}
    rows = [
        (f"`{name}`", meanings[name].meaning, meanings[name].unit, number(size, 4))
        for name, size in list(manifest.importance.items())[:_MOST_IMPORTANT]
        if name in meanings
    ]
    if not rows:
        return ""
    table = _table(("Feature", "Meaning", "Unit", "Mean \\|SHAP\\|"), rows)
    return f"## Features\n\nThe most important of {len(manifest.features)}, by their mean influence.\n\n{table}"


def _limitations(manifest: Manifest) -> str:
    missed = manifest.metrics.get("missed_gates", [])
    lines = [
        "- It knows the shop as its log was. A shop drifts: prices, seasons, campaigns. Watch it; train again.",
        "- The log holds what shoppers did under the shop's own prices and recommendations: it says what goes "
        "together, not what causes what.",
        "- A shopper, product or brand that the log never met gets the habits of its category and hour.",
        "- Intervals tell the chance of whom we happened to see, not of what the next month brings.",
        *(f"- A promotion gate was missed: {reason}" for reason in missed),
    ]
    return "\n".join(["## Limitations", "", *lines])


_ETHICS = """
## Ethical considerations

- It learns from what people did, tied to a pseudonymous id. The bundle holds no ids of shoppers but, as an example of
  a request, those of one decision point (`sample_request` in the manifest).
- Contacting people because they are likely to buy can be unwelcome. Cap contacts per person, and let people opt out.
- Showing higher prices to those likely to buy is not what it is for.
- Price and hour can stand in for income or work: look at who is reached before acting on a threshold.
"""


def _reproduce(manifest: Manifest, command: str) -> str:
    sources = [f"- `{PurePath(source['path']).name}`" for source in manifest.data.get("sources", [])]
    told = f"    {command}" if command else "    python -m training train --events PATH... --seed N"
    return "\n".join(
        [
            "## How to reproduce",
            "",
            told,
            "",
            "docs/report.md says how to read the report of the run that made it.",
            *(["", "Logs:", "", *sources] if sources else []),
            "",
            "Every file of the bundle is named with its SHA-256 in `manifest.json`, which also holds "
            f"{len(manifest.probe.x)} vectors with the probabilities that it gave for them.",
        ]
    )


def _table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    names = list(columns)
    lines = [names, ["---"] * len(names), *(list(row) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
