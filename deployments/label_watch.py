"""The Monitor deployment: one replica, off the request path, where predictions meet their labels."""

import asyncio
from pathlib import Path

from common.bundle import open_bundle
from common.clock import now_us
from common.feature_specs import SCHEMA_HASH
from deployments.serving_state import ServingState
from deployments.settings import load_settings

LABELS_S = 2.0


class Monitor:
    """Counts how right predictions were, as their labels mature."""

    async def __init__(self, bundle_path: str) -> None:  # type: ignore[misc]  # Serve awaits it: the loop is needed here
        manifest = open_bundle(Path(bundle_path), feature_schema=SCHEMA_HASH, only=()).manifest
        state = ServingState.connect(load_settings(), horizon_s=manifest.label_horizon_s)
        self._watching = asyncio.create_task(state.watch_labels(now_us, LABELS_S))

    def check_health(self) -> None:
        """Serve starts the replica again when the watch has ended.

        Raises:
            RuntimeError: it has.
        """
        if self._watching.done():
            raise RuntimeError(f"the watch over labels has ended: {self._watching!r}")
