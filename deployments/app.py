"""The Serve application: which deployments there are, and how they are wired.

serve_config.yaml names every deployment here with its replicas, autoscaling and options. Each class lies in
a module of its own, so that a replica imports what it serves and no more: starting seven of them is the start-up time.
"""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict
from ray import serve

from common.bundle import open_bundle
from common.feature_specs import SCHEMA_HASH
from deployments.explainer import Explainer
from deployments.label_watch import Monitor
from deployments.members import Member
from deployments.router import EnsembleRouter


class AppArgs(BaseModel):
    """The application's arguments, which `deployments serve` fills in."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    bundle_path: str


def build(args: dict[str, Any]) -> serve.Application:
    """The application graph for one bundle, as serve_config.yaml's `import_path` names it."""
    bundle_path = AppArgs.model_validate(args).bundle_path
    manifest = open_bundle(Path(bundle_path), feature_schema=SCHEMA_HASH, only=()).manifest
    member: Any = serve.deployment(Member)
    explainer: Any = serve.deployment(Explainer)
    monitor: Any = serve.deployment(Monitor)
    router: Any = serve.deployment(EnsembleRouter)
    members = {name: member.options(name=f"member_{name}").bind(name, bundle_path) for name in manifest.weights}
    return router.bind(bundle_path, members, explainer.bind(bundle_path), monitor.bind(bundle_path))
