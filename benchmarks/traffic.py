"""What the benchmarks send: distinct shoppers and products of the served bundle's own shop, with a history in Redis."""

import json
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from common.bundle import Bundle
from common.catalog import Catalog

SHOPPERS = 2_000
EVENTS_EACH = 6
"""The mean window of a real shop."""


def decisions(bundle: Bundle, count: int, seed: int = 7) -> list[dict[str, Any]]:
    """Bodies of /predict_purchase, no two alike: `SHOPPERS` shoppers, every product, any price within its range."""
    rng = np.random.default_rng(seed)
    products = _products(bundle)
    bodies = []
    for i in range(count):
        product, price = products[int(rng.integers(len(products)))]
        shopper = i % SHOPPERS
        bodies.append(
            {
                "user_id": f"bench-{shopper}",
                "session_id": f"bench-{shopper}-now",
                "product_id": product,
                "category_code": None,
                "brand": None,
                "price": round(price * float(rng.uniform(0.7, 1.0)), 2) or 0.01,
                "hour": int(rng.integers(24)),
                "day_of_week": int(rng.integers(7)),
                "is_weekend": int(rng.integers(2)),
            }
        )
    return bodies


def history(bundle: Bundle, seed: int = 11) -> list[dict[str, Any]]:
    """Events that give each shopper a window of the usual size, spread over the shoppers' last minutes."""
    rng = np.random.default_rng(seed)
    products = _products(bundle)
    events = []
    for shopper in range(SHOPPERS):
        for n in range(EVENTS_EACH):
            product, price = products[int(rng.integers(len(products)))]
            events.append(
                {
                    "event_id": f"bench-{shopper}-{n}",
                    "event_type": "cart" if n == EVENTS_EACH - 1 else "view",
                    "product_id": product,
                    "price": price,
                    "user_id": f"bench-{shopper}",
                    "user_session": f"bench-{shopper}-now",
                }
            )
    return events


def post(url: str, body: Any, headers: Mapping[str, str]) -> Any:
    """The answer to one POST.

    Raises:
        urllib.error.URLError: no answer, or an error status.
    """
    request = urllib.request.Request(  # noqa: S310 - an address of ours on loopback
        url, json.dumps(body).encode(), {"Content-Type": "application/json", **headers}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        return json.load(answer)


def send_history(url: str, events: Sequence[Mapping[str, Any]], headers: Mapping[str, str]) -> None:
    """Store the events, 1,000 to a request."""
    for start in range(0, len(events), 1_000):
        post(f"{url}/events", events[start : start + 1_000], headers)


def _products(bundle: Bundle) -> list[tuple[str, float]]:
    catalog = Catalog.read(bundle.file("catalog.parquet"))
    names = [key[2:] for key in catalog.state().keys.to_pylist() if key.startswith("p:")]
    return [(name, max(0.01, round(catalog.usual_price(name), 2))) for name in names]
