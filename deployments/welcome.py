"""What `serve` prints when the service is ready: where it is, a token, and a request that works when pasted."""

import json
import shlex
from typing import Any

from common.bundle import Manifest

_EXAMPLE = {
    "user_id": "user_123",
    "session_id": "session_456",
    "product_id": "product_789",
    "category_code": "electronics.smartphone",
    "brand": "samsung",
    "price": 299.99,
    "hour": 14,
    "day_of_week": 2,
    "is_weekend": 0,
}


def example_request(manifest: Manifest) -> dict[str, Any]:
    """A body for POST /predict_purchase: of a real product if the manifest's `data.sample_request` names one."""
    return {**_EXAMPLE, **manifest.data.get("sample_request", {})}


def welcome(host: str, port: int, version: str, token: str, body: dict[str, Any]) -> str:
    """The text; the command in it is one that a shell takes whole, whatever is in the body."""
    address = f"http://{host}:{port}"
    return "\n".join(
        [
            f"Cartcast {version} is ready at {address}",
            "",
            f"  API      {address}/docs   (OpenAPI: {address}/openapi.json)",
            f"  token    {token}",
            "",
            f"curl -s {address}/predict_purchase \\",
            f"  -H 'Authorization: Bearer {token}' \\",
            "  -H 'Content-Type: application/json' \\",
            f"  -d {shlex.quote(json.dumps(body))}",
            "",
            "Ctrl-C stops it.",
        ]
    )
