"""What the registry keeps of a bundle beside its figures, so that a list needs no bundle."""

import json

from common.bundle import Manifest

FORCED = "forced_past"
"""The tag of a version that was promoted in spite of gates that it missed; it names them."""

MISSED = "missed_gates"
"""The tag that holds the gates which a version missed, its own and the champion's, as JSON."""


def described(manifest: Manifest) -> dict[str, str]:
    """The tags of a version: what it learned from, the interval of its log loss, and the gates that it missed."""
    learned = manifest.data.get("learned", {})
    low, high = manifest.metrics.get("slices", {}).get("all", {}).get("intervals", {}).get("log_loss", (None, None))
    tags = {
        "learned_from": learned.get("from"),
        "learned_to": learned.get("to"),
        "log_loss_low": low,
        "log_loss_high": high,
        MISSED: json.dumps(manifest.metrics.get("missed_gates", [])),
    }
    return {name: str(value) for name, value in tags.items() if value is not None}
