"""What to say and to recommend for a probability, from rules that an operator can replace."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from common.errors import ConfigError
from common.events import Decision

DEFAULT_RULES = Path(__file__).with_name("insights.yaml")
DRIVERS = 3
"""How many of the largest contributions count as what drives a probability."""


class _Rule(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Bounds(_Rule):
    """A half-open interval: `min` included, `max` excluded."""

    min: float = float("-inf")
    max: float = float("inf")

    def hold(self, value: float) -> bool:
        """Whether the value lies in the interval."""
        return self.min <= value < self.max


class Driver(_Rule):
    """A feature among the largest contributions, pushing up or down."""

    feature: str
    direction: Literal["up", "down"]

    def hold(self, contributions: Mapping[str, float]) -> bool:
        """Whether that feature is among the `DRIVERS` largest, with that sign."""
        largest = sorted(contributions, key=lambda name: -abs(contributions[name]))[:DRIVERS]
        value = contributions.get(self.feature, 0.0)
        return self.feature in largest and (value > 0.0 if self.direction == "up" else value < 0.0)


@dataclass(frozen=True)
class Finding:
    """What the rules look at: one decision and the answer to it."""

    decision: Decision
    probability: float
    confidence: float
    contributions: Mapping[str, float]
    degraded: bool


class Condition(_Rule):
    """All of what it names must hold; an empty condition always does."""

    probability: Bounds | None = None
    confidence: Bounds | None = None
    price: Bounds | None = None
    hour: Bounds | None = None
    day_of_week: Bounds | None = None
    is_weekend: Literal[0, 1] | None = None
    category: str | None = None
    degraded: bool | None = None
    driver: Driver | None = None

    def hold(self, finding: Finding) -> bool:
        """Whether every named bound holds for the finding."""
        decision = finding.decision
        values = {
            "probability": finding.probability,
            "confidence": finding.confidence,
            "price": decision.price,
            "hour": decision.hour,
            "day_of_week": decision.day_of_week,
        }
        for name, value in values.items():
            bounds: Bounds | None = getattr(self, name)
            if bounds is not None and not bounds.hold(value):
                return False
        return (
            self.is_weekend in (None, decision.is_weekend)
            and (self.category is None or decision.category.startswith(self.category))
            and self.degraded in (None, finding.degraded)
            and (self.driver is None or self.driver.hold(finding.contributions))
        )


class Rule(_Rule):
    """A sentence and when it is true."""

    text: str
    when: Condition


class Rules(_Rule):
    """The whole rules file."""

    recommendations: list[Rule]
    insights: list[Rule]

    def recommendation(self, finding: Finding) -> str:
        """The first recommendation whose condition holds; empty where none does."""
        return next((_filled(rule.text, finding) for rule in self.recommendations if rule.when.hold(finding)), "")

    def insights_for(self, finding: Finding) -> list[str]:
        """Every insight whose condition holds, in the file's order."""
        return [_filled(rule.text, finding) for rule in self.insights if rule.when.hold(finding)]


def _filled(text: str, finding: Finding) -> str:
    return text.format(
        probability_percent=f"{100.0 * finding.probability:.1f}",
        price=f"{finding.decision.price:.2f}",
        category=finding.decision.category or "no category",
        product=finding.decision.product,
    )


_ANY = Finding(Decision("u", "s", "p", "", "", 1.0, 0, 0, 0, 0), 0.5, 1.0, {}, degraded=False)


def read_rules(path: Path = DEFAULT_RULES) -> Rules:
    """The rules of a file.

    Raises:
        ConfigError: unreadable, not YAML, an unknown key or value, or an unknown {placeholder}.
    """
    try:
        rules = Rules.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
        for rule in (*rules.recommendations, *rules.insights):
            _filled(rule.text, _ANY)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{path}: {where}: {first['msg']}") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"the rules file {path} cannot be read: {error}") from error
    except (KeyError, IndexError, ValueError) as error:
        raise ConfigError(f"{path}: a text has an unknown placeholder: {error}") from error
    return rules
