"""One replica's service without Ray: real members and explainer in this process, a real Redis."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from common.bundle import Bundle
from common.catalog import Catalog
from common.clock import now_us
from deployments.auth import Authenticator
from deployments.catalog_keeper import CatalogKeeper
from deployments.engine import Engine, EngineOptions
from deployments.explainer import Explainer
from deployments.http.api import build_api
from deployments.http.service import Service
from deployments.insights import read_rules
from deployments.members import Member
from deployments.readiness import Readiness
from deployments.serving_state import ServingState
from deployments.settings import Settings
from deployments.state.connection import StateRedis
from deployments.tokens import SCOPES, issue_token
from tests.bundles import small_bundle
from tests.logs import simulated_users

SECRET = "a secret of tests that is long enough"
OPTIONS = EngineOptions(member_deadline_ms=5_000, explain_deadline_ms=20_000)


@pytest.fixture(scope="session")
def served_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A small real bundle."""
    return small_bundle(tmp_path_factory.mktemp("bundles") / "small-1", simulated_users(31, users=90))


@pytest.fixture(scope="session")
def members(served_bundle: Bundle) -> dict[str, Member]:
    return {name: Member(name, str(served_bundle.path)) for name in served_bundle.manifest.weights}


@pytest.fixture(scope="session")
def explainer(served_bundle: Bundle) -> Explainer:
    return Explainer(str(served_bundle.path))


@dataclass
class Api:
    """A client of the service, signed in for everything, and the service's parts for a test to break."""

    client: httpx.AsyncClient
    service: Service
    engine: Engine
    members: dict[str, object]
    headers: dict[str, str] = field(default_factory=dict)

    async def post(self, path: str, body: object, **headers: str) -> httpx.Response:
        return await self.client.post(path, json=body, headers={**self.headers, **headers})

    async def get(self, path: str) -> httpx.Response:
        return await self.client.get(path, headers=self.headers)


def token(*scopes: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {issue_token(SECRET, 'tests', scopes, 600, now_us())}"}


@pytest.fixture
async def api(
    served_bundle: Bundle,
    members: dict[str, Member],
    explainer: Explainer,
    redis: StateRedis,
    redis_url: str,
) -> AsyncIterator[Api]:
    """A running replica on an empty Redis."""
    url = redis_url.rpartition("/")[0] + "/9"
    async with replica(served_bundle, dict(members), explainer, url, Path()) as running:
        yield running


def replica(bundle: Bundle, members: dict[str, object], explainer: Explainer, redis_url: str, state_dir: Path):
    """A replica as `deployments.router` puts it together, but for the Serve handles."""
    from contextlib import asynccontextmanager

    @asynccontextmanager
    async def running() -> AsyncIterator[Api]:
        state = ServingState.connect(
            Settings(REDIS_URL=redis_url, state_dir=state_dir), horizon_s=bundle.manifest.label_horizon_s
        )
        keeper = CatalogKeeper(
            Catalog.read(bundle.file("catalog.parquet")),
            days=state.day_counts,
            revision=state.catalog_revision,
            now_us=now_us,
        )
        engine = Engine(
            bundle.manifest,
            keeper,
            members=members,
            explainer=explainer,
            state=state,
            rules=read_rules(),
            options=OPTIONS,
            now_us=now_us,
        )
        readiness = Readiness(
            bundle.manifest,
            members,
            state_alive=state.alive,
            explainer_alive=explainer.alive,
            catalog_rolled=lambda: keeper.is_rolled,
            warm_up=engine.warm_up,
            now_us=now_us,
        )
        service = Service(engine, state, Authenticator(SECRET), readiness, now_us)
        app = build_api(service, state.running)
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with state.running(), httpx.AsyncClient(transport=transport, base_url="http://cartcast") as client:
            await keeper.refresh()
            yield Api(client, service, engine, members, token(*SCOPES))

    return running()
