"""What a report says in words follows its figures, both ways."""

from dataclasses import replace

import numpy as np
import pytest

from common.feature_specs import NEVER_S, Spec
from tests.drawn_report import data_of, drawn_report
from training.evaluation import DEFAULT_VOTE
from training.gates import Gate
from training.leakage import Check
from training.reporting import ReportData
from training.reporting.data_figures import timeline_figure
from training.reporting.difference_figures import difference_figure, tone
from training.reporting.outcome_figures import cost_figure, winners_table
from training.reporting.quality_tables import quality_tables
from training.reporting.scales import scale_of
from training.reporting.verdict import verdict
from training.reporting.wording import DIGITS, bounds, compact, duration, number, percent

NOTHING = [-1e-9, 2e-9]


@pytest.fixture(scope="module")
def report() -> ReportData:
    return drawn_report(6_000)


@pytest.mark.parametrize(
    ("metric", "pair", "found"),
    [
        ("log_loss", (-0.02, -0.01), "good"),
        ("log_loss", (0.01, 0.02), "bad"),
        ("roc_auc", (0.01, 0.02), "good"),
        ("roc_auc", (-0.02, -0.01), "bad"),
        ("ece", (-0.01, 0.02), ""),
        ("pr_auc", (None, None), ""),
    ],
)
def test_news_is_good_or_bad_only_beyond_chance(metric: str, pair: tuple[float, float], found: str):
    assert tone(metric, pair) == found


def test_a_better_bundle_that_passes_its_gates_may_serve(report: ReportData):
    passed = Gate("champion", True, "shown to be better")
    said = verdict(replace(report, gates=[*report.gates, passed]))

    assert said.tone == "good"
    assert said.badge.startswith("May be promoted")
    assert "better than the champion" in said.sentences[2]
    assert "6,000 decision points from 2026-01-20 to 2026-02-13" in said.sentences[0]


def test_a_missed_gate_forbids_and_says_why(report: ReportData):
    said = verdict(replace(report, gates=[Gate("calibration", False, "0.09 is above 0.05")]))

    assert said.tone == "bad"
    assert said.reasons == ["calibration: 0.09 is above 0.05"]


def test_a_bundle_that_is_not_let_past_the_champion_must_not_be_promoted(report: ReportData):
    said = verdict(replace(report, gates=[*report.gates, Gate("champion", False, "worse by 1.2 %")]))

    assert said.tone == "bad"
    assert said.reasons == ["champion: worse by 1.2 %"]


def test_a_bundle_that_was_not_held_against_the_champion_has_only_passed_its_own_gates(report: ReportData):
    said = verdict(report)

    assert (said.tone, said.reasons) == ("open", [])
    assert said.badge == "Own gates passed; not compared with the champion"
    assert verdict(replace(report, champion_version=None)).tone == "good"


def test_a_failed_leakage_check_comes_first_among_the_worries(report: ReportData):
    said = verdict(replace(report, checks=[Check("nothing leaks", False, "It does.", 1.0)]))
    assert said.worries[0] == "Leakage check failed: nothing leaks. It does."


def test_a_base_rate_that_moved_is_a_worry(report: ReportData):
    data = data_of(6_000)
    data["parts"]["fit"] = {**data["parts"]["fit"], "bought": 400}

    assert not any("drifts" in worry for worry in verdict(report).worries)
    assert any("drifts" in worry for worry in verdict(replace(report, data=data)).worries)


def test_slices_with_few_buyers_are_a_worry():
    assert any("rough" in worry for worry in verdict(drawn_report(500)).worries)
    assert not any("rough" in worry for worry in verdict(drawn_report(8_000)).worries)


def test_a_candidate_far_off_stands_at_the_rim_with_its_value(report: ReportData):
    (loss, *_) = difference_figure(report.metrics["slices"]).panels
    symbols = [trace["marker"]["symbol"] for trace in loss.traces]
    overall = report.metrics["slices"]["all"]["quality"]
    apart = overall["ensemble"]["log_loss"] - overall["base_rate"]["log_loss"]

    assert "triangle-left" in symbols
    assert f"−{-apart:.4f}" in [annotation["text"] for annotation in loss.layout["annotations"]]


def test_a_difference_of_nothing_is_called_equal(report: ReportData):
    slices = {
        name: {**of_slice, "differences": {**of_slice["differences"], DEFAULT_VOTE: dict.fromkeys(DIGITS, NOTHING)}}
        for name, of_slice in report.metrics["slices"].items()
    }
    rows = {row[0].text: row[1:] for row in quality_tables(slices)[0].rows}

    assert [cell.small for cell in rows["Default weights"]] == ["equal"] * 4
    assert all(cell.small.startswith("[") for cell in rows["Champion"])
    said = verdict(replace(report, metrics={**report.metrics, "slices": slices}))
    assert "equal to the default weights" in said.sentences[2]


def test_the_rounds_of_a_trial_and_those_that_are_served_are_told_apart(report: ReportData):
    params = {**report.params, "catboost": {"depth": 3, "rounds": 1_234}}
    table = winners_table(report.trials, params, report.weights)
    rounds = {row[0].text: row[table.columns.index("Rounds of the trial")] for row in table.rows}

    assert (rounds["CatBoost"].text, rounds["CatBoost"].small) == ("20", "served 1,234")
    assert rounds["XGBoost"].small == ""
    assert table.rows[0][0].small == "depth 3"


def test_milliseconds_stand_at_ticks_written_in_full(report: ReportData):
    figure = cost_figure(report.trials)
    assert figure is not None
    shown = figure.panels[0].layout["xaxis"]
    within = [
        text for at, text in zip(shown["tickvals"], shown["ticktext"], strict=True) if at < 10 ** shown["range"][1]
    ]

    assert within[-3:] == ["0.01", "0.02", "0.05"]
    assert 10 ** shown["range"][0] < 0.03 < 10 ** shown["range"][1]


def test_days_with_few_points_have_no_share(report: ReportData):
    rates = {"period_days": 1, "from": ["2026-01-05", "2026-01-06", "2026-01-07"]}
    views, carts = {"points": [19, 20, 50], "bought": [1, 2, 3]}, {"points": [3, 19, 5], "bought": [1, 1, 1]}
    found = timeline_figure({**report.data, "base_rates_over_time": {**rates, "view": views, "cart": carts}})

    assert [panel.id for panel in found.panels] == ["rate-view", "points"]
    assert [trace["y"] for trace in found.panels[0].traces][2] == [0.1, 0.06]


def test_seconds_are_shown_as_people_count_them():
    spec = Spec("since_cart_s", "session", "s", 0.0, NEVER_S, "since the cart")
    scale = scale_of(np.array([2.0, 70.0, 4_000.0, NEVER_S], np.float32), spec)

    assert scale.axis["ticktext"] == ["1 min", "1 h", "1 d", "never"]
    assert scale.at[0] < scale.axis["tickvals"][0] < scale.at[1]
    assert scale.at[-1] == pytest.approx(scale.axis["tickvals"][-1])


def test_numbers_read_well():
    assert number(-0.0012, 4, signed=True) == "−0.0012"
    assert number(None, 3) == number(float("nan"), 3) == "–"
    assert bounds((None, 0.5), 2) == "[–, 0.50]"
    assert percent(0.1234) == "12.3 %"
    assert [duration(seconds) for seconds in (3.21, 125.0, 7_380.0)] == ["3.2 s", "2 min 5 s", "2 h 3 min"]
    assert [compact(value) for value in (7.0, 0.012345, 12_345.6)] == ["7", "0.0123", "1.23e+04"]
