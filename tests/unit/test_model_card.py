"""The model card says what the manifest says, and nothing of what it does not."""

import re

import pytest

from common.bundle import Manifest, MemberEntry, Probe
from common.ensemble import DEFAULT_WEIGHTS, Calibration
from common.feature_specs import NAMES, SCHEMA_HASH
from tests.drawn_report import SECRET_USER, drawn_report
from training.leakage import Check
from training.model_card import model_card
from training.reporting.decisions import decide

REPORT = drawn_report()


def a_manifest(**changes: object) -> Manifest:
    members = [
        MemberEntry(
            name=kind,
            kind=kind,
            file=f"members/{kind}",
            weight=weight,
            calibration=Calibration(slope=1.0, intercept=0.0),
            base_margin=0.0,
            params={"depth": 5, "rate": 0.123456},
        )
        for kind, weight in DEFAULT_WEIGHTS.items()
    ]
    fields = {
        "version": REPORT.version,
        "created": REPORT.created,
        "feature_schema": SCHEMA_HASH,
        "features": list(NAMES),
        "members": members,
        "threshold": 0.2345,
        "label_horizon_s": 86_400,
        "catalog_through_day": 20_000,
        "metrics": REPORT.metrics,
        "importance": {name: 1.0 / (place + 1) for place, name in enumerate(NAMES)},
        "data": REPORT.data,
        "probe": Probe(x=[[0.0]], members={}, ensemble=[0.5]),
    }
    return Manifest(**(fields | changes))


@pytest.fixture(scope="module")
def card() -> str:
    return model_card(a_manifest())


def test_it_has_the_sections_that_a_model_card_has(card: str):
    found = re.findall(r"^## (.*)$", card, flags=re.MULTILINE)
    assert found == [
        "Intended use",
        "Factors",
        "Metrics",
        "Calibration",
        "Thresholds",
        "Data",
        "Features",
        "Limitations",
        "Ethical considerations",
        "How to reproduce",
    ]


def test_every_slices_figures_and_intervals_are_there(card: str):
    for of_slice in REPORT.metrics["slices"].values():
        low, high = of_slice["intervals"]["log_loss"]
        assert f"{of_slice['quality']['ensemble']['log_loss']:.4f} [{low:.4f}, {high:.4f}]" in card
        assert f"{of_slice['rows']:,} points" in card


def test_the_calibration_error_and_what_chance_explains_of_it_are_in_the_same_unit():
    of_slice = {
        **REPORT.metrics["slices"]["all"],
        "quality": {"ensemble": {"log_loss": 0.3, "roc_auc": 0.8, "pr_auc": 0.5, "ece": 0.0371}},
        "intervals": {"log_loss": [0.2, 0.4], "roc_auc": [0.7, 0.9], "pr_auc": [0.4, 0.6], "ece": [0.0215, 0.0577]},
        "ece_by_chance": [0.0241, 0.0402],
    }
    card = model_card(a_manifest(metrics={**REPORT.metrics, "slices": {"all": of_slice}}))

    assert "- All points: 3.71; spread of 95 % under resampling 2.15 to 5.77. " in card
    assert "would show 2.41 by chance, and hardly more than 4.02." in card


def test_members_weights_and_the_threshold_are_there(card: str):
    for weight in DEFAULT_WEIGHTS.values():
        assert f"| {weight:.3f} | depth 5, rate 0.123 |" in card
    assert "0.2345: the best F1" in card


def test_tables_are_tables(card: str):
    for block in re.findall(r"(?:^\|.*\|$\n?)+", card, flags=re.MULTILINE):
        cells = {len(re.findall(r"(?<!\\)\|", line)) for line in block.strip().splitlines()}
        assert len(cells) == 1


def test_nobodys_id_and_nobodys_folder_is_in_it(card: str):
    assert SECRET_USER not in card
    assert "somebody" not in card
    assert "`events.parquet`" in card


def test_profit_and_checks_are_told_where_there_are_such():
    profit = decide(REPORT).profit.as_dict()
    card = model_card(a_manifest(), profit=profit, checks=[Check("nothing leaks", False, "It does.")])

    assert f"{profit['chosen']['threshold']:.4f}: the best profit" in card
    assert "- **failed**: nothing leaks. It does." in card


def test_a_missed_gate_is_a_limitation():
    card = model_card(a_manifest(metrics={**REPORT.metrics, "missed_gates": ["calibration: 0.09 is above 0.05"]}))
    assert "- A promotion gate was missed: calibration: 0.09 is above 0.05" in card


def test_a_manifest_that_says_little_gives_a_card_that_says_little():
    card = model_card(a_manifest(metrics={}, data={}, importance={}))

    assert "## Metrics" not in card
    assert "## Data" not in card
    assert "## Intended use" in card
