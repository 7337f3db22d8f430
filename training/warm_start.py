"""Parameters of an earlier champion as a point of today's search space."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from common.members import adapter


@dataclass(frozen=True)
class Start:
    """A point to begin a search with, and what had to be changed for it to be one."""

    params: dict[str, Any]
    notes: list[str]


def start_within(kind: str, params: Mapping[str, Any]) -> Start:
    """The point of the kind's search space that is nearest to `params`.

    A value beyond its range becomes the end of the range; what is missing has its default; what the space does not
    know is left out.
    """
    module = adapter(kind)
    nearest = _Nearest({**module.DEFAULTS, **params})
    point = module.search_space(nearest)
    notes = [f"{kind} {note}" for note in nearest.notes]
    notes += [f"{kind} {name}: taken from the defaults" for name in sorted(set(point) - set(params))]
    notes += [f"{kind} {name}: not searched any more" for name in sorted(set(params) - set(point))]
    return Start(point, notes)


@dataclass
class _Nearest:
    """Suggests what is wanted, or the nearest value that is allowed."""

    wanted: Mapping[str, Any]
    notes: list[str] = field(default_factory=list)

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:  # noqa: ARG002
        """The wanted value within [low, high]."""
        return float(self._within(name, low, high))

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:  # noqa: ARG002
        """The wanted whole number within [low, high]."""
        return round(self._within(name, low, high))

    def _within(self, name: str, low: float, high: float) -> float:
        value = float(self.wanted[name])
        near = min(max(value, low), high)
        if near != value:
            self.notes.append(f"{name}: {near:g} instead of {value:g}")
        return near
