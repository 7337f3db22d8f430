from dataclasses import replace
from pathlib import Path

import pytest

from common.errors import ConfigError
from common.events import Decision
from deployments.insights import Finding, read_rules

DECISION = Decision("u", "s", "p", "electronics.audio", "sony", 20.0, 14, 2, 0, 0)
FINDING = Finding(DECISION, 0.6, 0.97, {"price_vs_usual": 0.2, "hour": -0.1}, degraded=False)


def test_the_first_recommendation_that_holds_is_given() -> None:
    rules = read_rules()

    assert rules.recommendation(FINDING).startswith("High intent")
    assert rules.recommendation(replace(FINDING, probability=0.01)).startswith("Low intent")


def test_reliability_is_claimed_only_where_members_agree_and_all_answered() -> None:
    rules = read_rules()

    assert any("high reliability" in text for text in rules.insights_for(FINDING))
    for weaker in (replace(FINDING, confidence=0.9), replace(FINDING, degraded=True)):
        assert not any("high reliability" in text for text in rules.insights_for(weaker))


def test_a_driver_counts_with_its_sign() -> None:
    rules = read_rules()
    text = "The price beside the product's usual one speaks for a purchase"

    assert text in rules.insights_for(FINDING)
    assert text not in rules.insights_for(replace(FINDING, contributions={"price_vs_usual": -0.2}))


def test_placeholders_are_filled(tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(
        "recommendations: [{text: '{price} in {category}: {probability_percent} %', when: {}}]\ninsights: []"
    )

    assert read_rules(file).recommendation(FINDING) == "20.00 in electronics.audio: 60.0 %"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("recommendations: []", "insights"),
        ("recommendations: []\ninsights: [{text: a, when: {prise: {min: 1}}}]", "prise"),
        ("recommendations: []\ninsights: [{text: '{nonsense}', when: {}}]", "placeholder"),
        ("recommendations: [", "cannot be read"),
    ],
)
def test_a_wrong_rules_file_is_refused_with_the_place(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(text)

    with pytest.raises(ConfigError, match=said):
        read_rules(file)
