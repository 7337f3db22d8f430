"""serve_config.yaml: read, checked, and completed with what only this run knows."""

import copy
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from common.errors import ConfigError


def read_config(path: Path) -> dict[str, Any]:
    """The file, checked against Serve's own schema.

    Raises:
        ConfigError: no such file, not YAML, or not what Serve takes; the message names file and field.
    """
    from ray.serve.schema import ServeDeploySchema

    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
    try:
        applications = ServeDeploySchema.model_validate(config).applications
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise ConfigError(f"{path} is not a Serve configuration: {where}: {first['msg']}") from error
    if len(applications) != 1:
        raise ConfigError(f"{path} has {len(applications)} applications", remedy="It must have exactly one")
    checked: dict[str, Any] = config
    return checked


def complete(
    config: dict[str, Any], *, host: str, port: int, arguments: dict[str, str], variables: dict[str, str]
) -> dict[str, Any]:
    """A copy of the configuration with the address, the application's arguments and its environment put in."""
    completed = copy.deepcopy(config)
    completed["http_options"] = {**(config.get("http_options") or {}), "host": host, "port": port}
    application = completed["applications"][0]
    application["args"] = {**(application.get("args") or {}), **arguments}
    if variables:
        environment = dict(application.get("runtime_env") or {})
        environment["env_vars"] = {**(environment.get("env_vars") or {}), **variables}
        application["runtime_env"] = environment
    return completed
