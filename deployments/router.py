"""The EnsembleRouter deployment: HTTP ingress and router in one process, and the handles by which it asks the others.

A hop between ingress and router cost 3 to 12 times the throughput.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from ray import serve
from ray.serve.handle import DeploymentHandle
from starlette.types import ASGIApp

from common import features
from common.bundle import open_bundle
from common.catalog import Catalog
from common.clock import now_us
from common.feature_specs import SCHEMA_HASH
from deployments.auth import Authenticator
from deployments.catalog_keeper import CatalogKeeper
from deployments.contributions import Contributions, Weights
from deployments.engine import Engine, EngineOptions
from deployments.http.api import build_api
from deployments.http.service import Service
from deployments.insights import DEFAULT_RULES, read_rules
from deployments.readiness import Readiness
from deployments.serving_state import ServingState
from deployments.settings import load_settings
from deployments.tokens import signing_secret

CATALOG_CHECK_S = 5.0


@serve.ingress()
class EnsembleRouter:
    """Answers HTTP from one bundle."""

    def __init__(
        self,
        bundle_path: str,
        members: dict[str, DeploymentHandle],
        explainer: DeploymentHandle,
        _monitor: DeploymentHandle,  # not called: bound, so that Serve deploys it with the application
    ) -> None:
        self._bundle = open_bundle(Path(bundle_path), feature_schema=SCHEMA_HASH, only=["catalog.parquet"])
        features.warm_up()
        self._members = {name: MemberHandle(handle) for name, handle in members.items()}
        self._explainer = ExplainerHandle(explainer)
        self._options = EngineOptions()
        self._engine: Engine | None = None
        self._state: ServingState | None = None
        self._catalogs: asyncio.Task[None] | None = None

    def check_health(self) -> None:
        """Serve starts the replica again when something that works behind the requests has ended.

        Raises:
            RuntimeError: it has.
        """
        if self._state is not None:
            self._state.check()
        if self._catalogs is not None and self._catalogs.done():
            raise RuntimeError(f"the catalog is not kept fresh any more: {self._catalogs!r}")

    def reconfigure(self, config: dict[str, Any]) -> None:
        """Take the `user_config` of serve_config.yaml, at the start and whenever it changes."""
        self._options = EngineOptions.model_validate(config)
        if self._engine is not None:
            self._engine.configure(self._options)

    def __serve_build_asgi_app__(self) -> ASGIApp:
        settings = load_settings()
        manifest = self._bundle.manifest
        state = ServingState.connect(settings, horizon_s=manifest.label_horizon_s)
        keeper = CatalogKeeper(
            Catalog.read(self._bundle.file("catalog.parquet")),
            days=state.day_counts,
            revision=state.catalog_revision,
            now_us=now_us,
        )
        self._engine = Engine(
            manifest,
            keeper,
            members=self._members,
            explainer=self._explainer,
            state=state,
            rules=read_rules(settings.insights_file or DEFAULT_RULES),
            options=self._options,
            now_us=now_us,
        )
        readiness = Readiness(
            manifest,
            self._members,
            state_alive=state.alive,
            explainer_alive=self._explainer.alive,
            catalog_rolled=lambda: keeper.is_rolled,
            warm_up=self._engine.warm_up,
            now_us=now_us,
        )
        service = Service(self._engine, state, Authenticator(signing_secret(settings)), readiness, now_us)

        state.metrics.describe("bundle_info", manifest.version)

        @asynccontextmanager
        async def running() -> AsyncIterator[None]:
            async with state.running():
                self._state = state
                self._catalogs = asyncio.create_task(keeper.keep_fresh(CATALOG_CHECK_S))
                yield
                self._catalogs.cancel()

        return build_api(service, running)


class MemberHandle:
    """A member behind a Serve handle."""

    def __init__(self, handle: DeploymentHandle) -> None:
        self._handle = handle

    async def predict(self, version: str, rows: bytes) -> bytes:
        """See `Member.predict`; cancelled with the caller, so that a late member stops working in vain."""
        reply: bytes = await _answer(self._handle.predict.remote(version, rows))
        return reply


class ExplainerHandle:
    """The explainer behind a Serve handle."""

    def __init__(self, handle: DeploymentHandle) -> None:
        self._handle = handle

    async def shap(self, version: str, rows: bytes, weights: Weights, per_member: bool) -> Contributions:
        """See `Explainer.shap`."""
        given: Contributions = await _answer(self._handle.shap.remote(version, rows, weights, per_member))
        return given

    async def lime(self, version: str, row: bytes, weights: Weights) -> Contributions:
        """See `Explainer.lime`."""
        given: Contributions = await _answer(self._handle.lime.remote(version, row, weights))
        return given

    async def alive(self) -> bool:
        """Whether a replica answers."""
        return bool(await _answer(self._handle.alive.remote()))


async def _answer(response: Any) -> Any:
    try:
        return await response
    except asyncio.CancelledError:
        response.cancel()
        raise
