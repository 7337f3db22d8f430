"""Which bundle to serve: a version or an alias of the model `cartcast` in the MLflow registry.

Each model version carries the tags `bundle_version` and `bundle_path` (a directory, or the URI of an artifact).
Importing MLflow takes about 3 s, so only the command that starts serving does it, never a replica.
"""

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from common.bundle import MANIFEST
from common.errors import RegistryError
from deployments.settings import Settings

MODEL = "cartcast"
CHAMPION = "champion"
TRAIN_ONE = "Train one with: make run, or python -m training train --events PATH --promote"


@dataclass(frozen=True)
class RegisteredBundle:
    """A bundle that the registry knows and that lies on this machine."""

    version: str
    path: Path


def find_bundle(settings: Settings, *, version: str | None = None, alias: str | None = None) -> RegisteredBundle:
    """The bundle of a version, or of an alias (the champion unless said otherwise), fetched if it lies elsewhere.

    Raises:
        RegistryError: no registry, no such version or alias, or its files are not to be had.
    """
    _require_registry(settings)
    client = _client(settings)
    found = _by_version(client, version) if version else _by_alias(client, alias or CHAMPION)
    tags = found.tags
    where = tags.get("bundle_path")
    name = tags.get("bundle_version") or f"version {found.version}"
    if not where:
        raise RegistryError(f"{MODEL} {name} is registered without a bundle", remedy=TRAIN_ONE)
    path = _local(where, name, settings)
    if not (path / MANIFEST).is_file():
        raise RegistryError(f"bundle {name} is registered, but there is none at {path}", remedy=TRAIN_ONE)
    return RegisteredBundle(version=name, path=path)


def _require_registry(settings: Settings) -> None:
    """A sqlite store that is not there would be made on being asked, which takes seconds and finds nothing."""
    prefix = "sqlite:///"
    uri = settings.tracking_uri
    if uri.startswith(prefix) and not Path(uri.removeprefix(prefix)).is_file():
        raise RegistryError(f"there is no champion: nothing was trained yet ({uri} is missing)", remedy=TRAIN_ONE)


def _client(settings: Settings) -> Any:
    # a tracking server that is down would be asked for minutes
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        return MlflowClient(tracking_uri=settings.tracking_uri, registry_uri=settings.tracking_uri)
    except MlflowException as error:
        raise _unreadable(error) from error


def _by_alias(client: Any, alias: str) -> Any:
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version_by_alias(MODEL, alias)
    except MlflowException as error:
        # INVALID_PARAMETER_VALUE is what an alias without a version gives
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise RegistryError(f"there is no {alias} in the registry", remedy=TRAIN_ONE) from error
        raise _unreadable(error) from error


def _by_version(client: Any, version: str) -> Any:
    from mlflow.exceptions import MlflowException

    try:
        registered = client.search_model_versions(f"name='{MODEL}'")
    except MlflowException as error:
        raise _unreadable(error) from error
    for candidate in registered:
        if version in (candidate.tags.get("bundle_version"), str(candidate.version)):
            return candidate
    known = ", ".join(sorted(candidate.tags.get("bundle_version", "?") for candidate in registered))
    raise RegistryError(f"there is no version {version} in the registry", remedy=f"It has: {known or 'none'}")


def _local(where: str, name: str, settings: Settings) -> Path:
    parsed = urlparse(where)
    if not parsed.scheme:
        return Path(where)
    if parsed.scheme == "file":
        return Path(unquote(parsed.path))
    target = settings.state_dir / "bundles" / Path(name).name
    if (target / MANIFEST).is_file():
        return target
    return _download(where, target, settings)


def _download(where: str, target: Path, settings: Settings) -> Path:
    """Fetch into a directory beside, then move: a download that breaks off leaves no half a bundle."""
    import tempfile

    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".fetch-") as beside:
        try:
            fetched = download_artifacts(artifact_uri=where, dst_path=beside, tracking_uri=settings.tracking_uri)
        except (MlflowException, OSError) as error:
            raise RegistryError(f"the bundle cannot be fetched from {where}: {_line(error)}") from error
        Path(fetched).rename(target)
    return target


def _unreadable(error: Exception) -> RegistryError:
    return RegistryError(
        f"the registry does not answer: {_line(error)}", remedy="Check MLFLOW_TRACKING_URI and the server it names"
    )


def _line(error: Exception) -> str:
    return str(error).splitlines()[0][:300]
