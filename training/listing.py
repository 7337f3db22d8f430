"""What `list` shows of each version of the registry."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from rich.table import Table

from common.clock import to_iso
from training.gates import CALIBRATION, CHAMPION, LATENCY, LOG_LOSS, SCHEMA
from training.registry import Registered
from training.version_tags import FORCED

GATES = (LOG_LOSS, CALIBRATION, LATENCY, SCHEMA, CHAMPION)
_COLUMNS = ("no", "version", "registered", "aliases", "learned", "log loss [95 %]", "ROC AUC", "ECE", "gates missed")


def records(versions: Iterable[Registered]) -> list[dict[str, Any]]:
    """Every version as a script reads it."""
    return [
        {
            "number": entry.number,
            "version": entry.version,
            "registered": to_iso(entry.created_ms * 1_000),
            "aliases": list(entry.aliases),
            "learned": {"from": entry.tags.get("learned_from"), "to": entry.tags.get("learned_to")},
            **entry.figures,
            "log_loss_interval": _interval(entry.tags),
            "missed_gates": json.loads(entry.tags["missed_gates"]) if "missed_gates" in entry.tags else None,
            "forced_past": entry.tags.get(FORCED),
        }
        for entry in versions
    ]


def table(versions: Iterable[Registered]) -> Table:
    """The same for people, one line each."""
    shown = Table(box=None, pad_edge=False)
    for column in _COLUMNS:
        shown.add_column(column, no_wrap=column != "gates missed")
    for record in records(versions):
        shown.add_row(*_cells(record))
    return shown


def _cells(record: Mapping[str, Any]) -> list[str]:
    learned, bounds = record["learned"], record["log_loss_interval"]
    days = f"{learned['from'][:10]} to {learned['to'][:10]}" if learned["from"] and learned["to"] else "-"
    loss = _number(record, "log_loss") + (f" [{bounds[0]:.4f}, {bounds[1]:.4f}]" if bounds else "")
    forced = _forced(record["forced_past"])
    return [
        record["number"],
        record["version"],
        record["registered"][:16].replace("T", " "),
        ", ".join(record["aliases"]),
        days,
        loss,
        _number(record, "roc_auc"),
        _number(record, "ece"),
        _gates(record["missed_gates"]) + (f"; forced past {forced}" if forced else ""),
    ]


def _gates(sentences: list[str] | None) -> str:
    if sentences is None:
        return "-"
    return ", ".join(dict.fromkeys(sentence.partition(":")[0] for sentence in sentences)) or "none"


def _forced(sentences: str | None) -> str:
    """The names of the gates that a version was promoted past; their sentences hold semicolons of their own."""
    found = re.findall(rf"(?:^|; )({'|'.join(GATES)}): ", sentences or "")
    return ", ".join(dict.fromkeys(found)) or (sentences or "")


def _interval(tags: Mapping[str, str]) -> list[float] | None:
    bounds = [tags.get(f"log_loss_{end}") for end in ("low", "high")]
    return [float(bound) for bound in bounds if bound] if all(bounds) else None


def _number(record: Mapping[str, Any], name: str) -> str:
    return f"{record[name]:.4f}" if name in record else "-"
