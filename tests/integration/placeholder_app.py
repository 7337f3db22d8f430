"""A Serve application of the real one's shape, without models: what the tests of the life cycle bring up."""

import os
from typing import Any

from fastapi import FastAPI, Header, HTTPException, Request
from ray import serve
from ray.serve.handle import DeploymentHandle

from common.clock import now_us
from common.errors import AuthError, BundleError
from deployments.auth import Authenticator
from deployments.settings import load_settings
from deployments.tokens import signing_secret

api = FastAPI()


@serve.deployment
class Member:
    async def double(self, number: int) -> int:
        return 2 * number


@serve.deployment
@serve.ingress(api)
class Router:
    def __init__(self, args: dict[str, Any], member: DeploymentHandle) -> None:
        import redis.asyncio

        if args.get("breaks"):
            raise BundleError("the bundle has no trees", remedy="Train it again")
        settings = load_settings()
        assert settings.redis_url is not None
        self._redis = redis.asyncio.Redis.from_url(settings.redis_url.get_secret_value())
        self._authenticator = Authenticator(signing_secret(settings))
        self._args = args
        self._member = member

    @api.get("/ready")
    async def ready(self) -> dict[str, Any]:
        return {"redis": await self._redis.ping(), "doubled": await self._member.double.remote(21)}

    @api.get("/facts")
    async def facts(self) -> dict[str, Any]:
        return {"args": self._args, "pid": os.getpid(), "environment": dict(os.environ), "counted": await self._count()}

    @api.post("/predict_purchase")
    async def predict(self, request: Request, authorization: str | None = Header(None)) -> dict[str, Any]:
        try:
            principal = self._authenticator.subject_of(authorization, "predict", now_us())
        except AuthError as error:
            raise HTTPException(401, error.message) from error
        return {"asked": await request.json(), "by": principal.subject}

    async def _count(self) -> int:
        counted: int = await self._redis.incr("placeholder:counted")
        return counted


def build(args: dict[str, Any]) -> serve.Application:
    if args.get("does_not_build"):
        raise BundleError("no readable bundle there", remedy="Train one")
    return Router.bind(args, Member.bind())
