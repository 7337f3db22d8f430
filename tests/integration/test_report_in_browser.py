"""The report as people see it: opened as a file in a real browser, without a network."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser import Page, opened
from tests.reports import small_report
from training.reporting import ReportData, write_html

DESKTOP, PHONE = (1280, 900), (390, 844)
DRAWN = "document.documentElement.dataset.charts"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> ReportData:
    return small_report(tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="module")
def page(report: ReportData, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """The report's page, all of its charts drawn."""
    directory = tmp_path_factory.mktemp("report")
    with opened(write_html(directory, report), tmp_path_factory.mktemp("profile")) as page:
        page.show(*DESKTOP)
        page.wait_for(DRAWN)
        yield page


@pytest.fixture(autouse=True)
def at_a_desk(page: Page) -> Iterator[None]:
    """Whatever a test did to the window is undone."""
    yield
    page.show(*DESKTOP)


def test_every_chart_is_drawn(page: Page):
    charts = page.value("document.querySelectorAll('.chart').length")
    empty = page.value(
        "[...document.querySelectorAll('.chart')].filter(c => !c.querySelector('.trace')).map(c => c.id)"
    )

    assert charts > 35
    assert int(page.value(DRAWN)) == charts
    assert empty == []


def test_nothing_but_the_file_is_asked_for_and_nothing_is_complained_of(page: Page):
    outside = [url for url in page.requests if not url.startswith(("file:", "blob:", "data:"))]

    assert sum(url.startswith("file:") for url in page.requests) == 1
    assert outside == []
    assert page.errors == []


@pytest.mark.parametrize("width", [DESKTOP[0], 820, PHONE[0]])
def test_the_page_is_no_wider_than_the_window(page: Page, width: int):
    page.show(width, 900)

    page.wait_for(f"document.documentElement.scrollWidth <= {width} && innerWidth === {width}")
    wide = (
        "[...document.querySelectorAll('.chart .main-svg')].filter(c => c.getBoundingClientRect().right > innerWidth)"
    )
    page.wait_for(f"{wide}.length === 0")


def test_a_legend_switches_its_candidate_in_every_chart_of_the_figure(page: Page):
    shown = """[...document.querySelectorAll('#roc-view, #roc-cart, #roc-all')]
        .map(c => c.data.find(t => t.meta === 'catboost').visible)"""
    button = "document.querySelector('figure:has(#roc-view) [data-meta=catboost]')"
    before = page.value(shown)
    page.value(f"{button}.click()")
    page.wait_for(f"JSON.stringify({shown}) === '[true,true,true]'")

    assert before == [False, False, False]
    assert page.value(f"{button}.getAttribute('aria-pressed')") == "true"
    assert page.value("document.querySelector('#pr-view').data.find(t => t.meta === 'catboost').visible") is False


def test_dark_and_light_are_followed_without_opening_the_page_again(page: Page):
    colour = "document.querySelector('#roc-view').data.find(t => t.meta === 'ensemble').line.color"
    light = page.value(colour)
    page.show(*DESKTOP, dark=True)

    page.wait_for(f"{colour} !== '{light}'")
    page.show(*DESKTOP)
    page.wait_for(f"{colour} === '{light}'")


def test_paper_gets_the_whole_report(page: Page):
    printed = page.call("Page.printToPDF", printBackground=True)["data"]

    assert len(printed) > 100_000
    assert page.errors == []


def test_what_is_said_links_to_where_it_is_shown(page: Page):
    missing = page.value(
        "[...document.querySelectorAll('nav a')].filter(a => !document.querySelector(a.hash)).map(a => a.hash)"
    )
    assert missing == []


def test_the_file_is_small_enough_to_send(tmp_path: Path, report: ReportData):
    page = write_html(tmp_path, report)
    assert page.stat().st_size < 8_000_000
