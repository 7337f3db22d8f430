"""The Serve application: which deployments there are, and how they are wired. All of Ray Serve is in this file.

serve_config.yaml names every deployment here with its replicas, autoscaling and options.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict
from ray import serve
from ray.serve.handle import DeploymentHandle
from starlette.types import ASGIApp

from common.bundle import open_bundle
from common.catalog import Catalog
from common.clock import now_us
from common.feature_specs import SCHEMA_HASH
from deployments.auth import Authenticator
from deployments.catalog_keeper import CatalogKeeper
from deployments.engine import Engine, EngineOptions
from deployments.explainer import Contributions, ExplainerModel, Weights
from deployments.http.api import build_api
from deployments.http.service import Service
from deployments.insights import DEFAULT_RULES, read_rules
from deployments.members import MemberModel
from deployments.readiness import Readiness
from deployments.serving_state import ServingState
from deployments.settings import load_settings
from deployments.tokens import signing_secret

log = logging.getLogger(__name__)

CATALOG_CHECK_S = 5.0
LABELS_S = 2.0


class AppArgs(BaseModel):
    """The application's arguments, which `deployments serve` fills in."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    bundle_path: str


class Member(MemberModel):
    """One base model."""


class Explainer(ExplainerModel):
    """SHAP and LIME."""

    async def alive(self) -> bool:
        """Whether this replica answers."""
        return True


class Monitor:
    """One replica, off the request path: predictions meet their labels here."""

    async def __init__(self) -> None:  # type: ignore[misc]  # Serve awaits it: the loop is needed here
        state = ServingState.connect(load_settings())
        self._watching = asyncio.create_task(state.watch_labels(now_us, LABELS_S))

    def check_health(self) -> None:
        """Serve starts the replica again when the watch has ended.

        Raises:
            RuntimeError: it has.
        """
        if self._watching.done():
            raise RuntimeError(f"the watch over labels has ended: {self._watching!r}")


@serve.ingress()
class EnsembleRouter:
    """HTTP ingress and router in one process: a hop between them cost 3 to 12 times the throughput."""

    def __init__(
        self,
        bundle_path: str,
        members: dict[str, DeploymentHandle],
        explainer: DeploymentHandle,
        _monitor: DeploymentHandle,  # not called: bound, so that Serve deploys it with the application
    ) -> None:
        self._bundle = open_bundle(Path(bundle_path), feature_schema=SCHEMA_HASH, only=["catalog.parquet"])
        self._members = {name: MemberHandle(handle) for name, handle in members.items()}
        self._explainer = ExplainerHandle(explainer)
        self._options = EngineOptions()
        self._engine: Engine | None = None

    def reconfigure(self, config: dict[str, Any]) -> None:
        """Take the `user_config` of serve_config.yaml, at the start and whenever it changes."""
        self._options = EngineOptions.model_validate(config)
        if self._engine is not None:
            self._engine.configure(self._options)

    def __serve_build_asgi_app__(self) -> ASGIApp:
        settings = load_settings()
        manifest = self._bundle.manifest
        state = ServingState.connect(settings)
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
            now_us=now_us,
        )
        service = Service(self._engine, state, Authenticator(signing_secret(settings)), readiness, now_us)

        state.metrics.describe("bundle_info", manifest.version)

        @asynccontextmanager
        async def running() -> AsyncIterator[None]:
            async with state.running(), asyncio.TaskGroup() as tasks:
                catalogs = tasks.create_task(keeper.keep_fresh(CATALOG_CHECK_S))
                yield
                catalogs.cancel()

        return build_api(service, running)


class MemberHandle:
    """A member behind a Serve handle."""

    def __init__(self, handle: DeploymentHandle) -> None:
        self._handle = handle

    async def predict(self, version: str, rows: bytes) -> bytes:
        """See `MemberModel.predict`; cancelled with the caller, so that a late member stops working in vain."""
        reply: bytes = await _answer(self._handle.predict.remote(version, rows))
        return reply


class ExplainerHandle:
    """The explainer behind a Serve handle."""

    def __init__(self, handle: DeploymentHandle) -> None:
        self._handle = handle

    async def shap(self, version: str, rows: bytes, weights: Weights, per_member: bool) -> Contributions:
        """See `ExplainerModel.shap`."""
        given: Contributions = await _answer(self._handle.shap.remote(version, rows, weights, per_member))
        return given

    async def lime(self, version: str, row: bytes, weights: Weights) -> Contributions:
        """See `ExplainerModel.lime`."""
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


def build(args: dict[str, Any]) -> serve.Application:
    """The application graph for one bundle, as serve_config.yaml's `import_path` names it."""
    bundle_path = AppArgs.model_validate(args).bundle_path
    manifest = open_bundle(Path(bundle_path), feature_schema=SCHEMA_HASH, only=()).manifest
    member, explainer = serve.deployment(Member), serve.deployment(Explainer)
    members = {name: member.options(name=f"member_{name}").bind(name, bundle_path) for name in manifest.weights}
    router: Any = serve.deployment(EnsembleRouter)
    monitor = serve.deployment(Monitor).bind()
    return router.bind(bundle_path, members, explainer.bind(bundle_path), monitor)
