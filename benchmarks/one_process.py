"""The peer that everyone writes first: the four models one after the other in one FastAPI process.

No token, no Redis, no windows: the vector comes from the request alone.

    python -m benchmarks.one_process BUNDLE PORT
"""

import sys
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from common.bundle import open_bundle
from common.catalog import Catalog
from common.clock import now_us
from common.ensemble import combine
from common.feature_specs import SCHEMA_HASH
from common.features import vectors
from common.members import adapter
from deployments.http.models import UserData


def build(bundle_path: Path) -> FastAPI:
    """The application, with every member loaded."""
    bundle = open_bundle(bundle_path, feature_schema=SCHEMA_HASH)
    catalog = Catalog.read(bundle.file("catalog.parquet"))
    members = [
        (entry.name, adapter(entry.kind).load(bundle.file(entry.file), threads=1), entry.calibration)
        for entry in bundle.manifest.members
    ]
    app = FastAPI()

    @app.post("/predict_purchase")
    def predict_purchase(body: UserData) -> dict[str, str | float]:
        X = vectors([body.decision(now_us())], [()], [catalog])
        opinions = {name: calibration.probability(margin(X)) for name, margin, calibration in members}
        return {
            "user_id": body.user_id,
            "purchase_probability": float(combine(opinions, bundle.manifest.weights)[0]),
        }

    return app


if __name__ == "__main__":
    uvicorn.run(build(Path(sys.argv[1])), host="127.0.0.1", port=int(sys.argv[2]), log_level="warning")
