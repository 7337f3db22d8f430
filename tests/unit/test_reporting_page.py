"""The page holds what it should and nothing that it should not: no ids, no addresses, no way out of its data."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from common.feature_specs import NAMES
from tests.drawn_report import SECRET_USER, a_trial, drawn_report
from training.reporting import ReportData, write_html


@pytest.fixture(scope="module")
def report() -> ReportData:
    return drawn_report()


@pytest.fixture(scope="module")
def html(report: ReportData, tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_html(tmp_path_factory.mktemp("report"), report).read_text(encoding="utf-8")


def without_plotly(html: str) -> str:
    """The page but for the packed library."""
    return re.sub(r'id="plotly">[^<]*<', 'id="plotly"><', html)


def test_the_figures_of_every_candidate_are_in_its_tables(report: ReportData, html: str):
    for of_slice in report.metrics["slices"].values():
        for figures in of_slice["quality"].values():
            assert f"{figures['log_loss']:.4f}" in html
    low, high = report.metrics["slices"]["all"]["intervals"]["log_loss"]
    assert f"[{low:.4f}, {high:.4f}]" in html


def test_nobodys_id_is_in_it(html: str, report: ReportData, tmp_path: Path):
    write_html(tmp_path, report)

    assert SECRET_USER not in html
    assert SECRET_USER not in (tmp_path / "report.json").read_text(encoding="utf-8")


def test_nothing_outside_is_named(html: str):
    assert re.findall(r"""(?:src|href)=["'](?!#|data:)[^"']*""", without_plotly(html)) == []
    assert "http://" not in without_plotly(html)
    assert "https://" not in without_plotly(html)


def test_the_same_data_give_the_same_page(report: ReportData, html: str, tmp_path: Path):
    assert write_html(tmp_path, report).read_text(encoding="utf-8") == html


def test_no_text_of_the_data_can_end_a_script_or_add_markup(report: ReportData, tmp_path: Path):
    evil = "</script><script>alert(1)</script>"
    trial = a_trial("catboost", 0, np.random.default_rng(0))
    trials = [replace(trial, number=number, params={evil: 0.1 * number}) for number in range(4)]
    html = write_html(tmp_path, replace(report, trials=trials, version=evil)).read_text(encoding="utf-8")

    assert "<script>alert" not in html
    assert "&lt;script&gt;alert" in html


def test_the_figures_are_numbers_that_json_knows(report: ReportData, tmp_path: Path):
    write_html(tmp_path, report)
    found = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"), parse_constant=pytest.fail)

    assert found["metrics"]["slices"] == report.metrics["slices"]
    assert found["decisions"]["profit"]["chosen"]["threshold"] > 0.0
    assert len(found["trials"]) == len(report.trials)


def test_a_log_without_carts_still_has_a_page(tmp_path: Path):
    html = write_html(tmp_path, drawn_report(carts=False)).read_text(encoding="utf-8")

    assert 'id="roc-view"' in html
    assert 'id="roc-cart"' not in html


def test_a_run_without_search_champion_or_purchases_worth_it_still_has_a_page(tmp_path: Path):
    report = drawn_report(trials=[], champion_version=None, checks=[])
    held_out = replace(report.held_out, probabilities=dict(report.held_out.probabilities))
    del held_out.probabilities["champion"]
    html = write_html(tmp_path, replace(report, held_out=held_out)).read_text(encoding="utf-8")

    assert "There was no search" in html
    assert 'id="history-catboost"' not in html


def test_charts_stay_small_however_many_rows_there_are(tmp_path: Path):
    few, many = (
        len(without_plotly(write_html(tmp_path, drawn_report(rows)).read_text(encoding="utf-8")))
        for rows in (5_000, 60_000)
    )
    assert many < 1.3 * few
    assert many < 2_000_000


def test_every_panel_has_a_place_on_the_page_and_words_for_those_who_cannot_see_it(html: str):
    (figures,) = re.findall(r'id="figures">(.*?)</script>', html, flags=re.DOTALL)
    for panel in json.loads(figures):
        assert re.search(rf'id="{re.escape(panel)}" role="img" aria-label="[^"]+"', html)


def test_the_features_that_matter_most_are_explained_in_words(report: ReportData, html: str):
    top = NAMES[int(np.abs(report.explained.contributions).mean(axis=0).argmax())]
    meaning = next(spec.meaning for spec in report.specs if spec.name == top)

    assert top in html
    assert meaning in html
