"""Settings of serving, read from the environment: addresses, secrets, places.

What the operator tunes (replicas, deadlines) is in serve_config.yaml, what training decides is in the bundle's
manifest. A relative state directory is taken from where the command was started.
"""

from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from common.errors import ConfigError
from deployments.secret_files import read_secret

PREFIX = "CARTCAST_"


class Settings(BaseSettings):
    """Every setting of serving; the variable is the field's name in capitals after `CARTCAST_`, or its alias."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="ignore")

    state_dir: Path = Field(default=Path("state"), description="where everything that outlives a run is kept")
    http_host: str = Field(default="127.0.0.1", description="the address that HAProxy listens on")
    http_port: int = Field(default=8000, ge=1, le=65_535, description="the port that HAProxy listens on")
    haproxy_metrics_port: int | None = Field(
        default=None, ge=1, le=65_535, description="HAProxy's Prometheus port; the first free one from 9101 if not set"
    )
    haproxy_stats_port: int | None = Field(
        default=None, ge=1, le=65_535, description="HAProxy's statistics page; the first free port from 8404 if not set"
    )
    fallback_port: int | None = Field(
        default=None, ge=1, le=65_535, description="Serve's fallback proxy; the first free port from 8500 if not set"
    )
    redis_url: SecretStr | None = Field(
        default=None, validation_alias="REDIS_URL", description="a Redis to use; an embedded one is started if not set"
    )
    redis_url_file: Path | None = Field(
        default=None, description="a file of mode 600 that holds what REDIS_URL would; `serve` hands it to replicas"
    )
    redis_port: int | None = Field(
        default=None, ge=1, le=65_535, description="the embedded Redis; the first free port from 6390 if not set"
    )
    mlflow_tracking_uri: str | None = Field(
        default=None,
        validation_alias="MLFLOW_TRACKING_URI",
        description="the tracking server and registry; sqlite in the state directory if not set",
    )
    jwt_secret: SecretStr | None = Field(
        default=None, description="signs tokens, at least 32 bytes; made at first use in the state directory if not set"
    )
    ray_cpus: int = Field(
        default=16,
        ge=1,
        description="logical CPUs of the local Ray: how many replicas fit, not how many cores run",
    )
    start_timeout_s: float = Field(default=180.0, gt=0, description="how long the application may take until ready")
    insights_file: Path | None = Field(
        default=None, description="the rules of recommendations and insights; deployments/insights.yaml if not set"
    )

    @field_validator("state_dir")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().absolute()

    @field_validator("jwt_secret")
    @classmethod
    def _long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value().encode()) < 32:
            raise ValueError("it has fewer than 32 bytes")
        return value

    @property
    def tracking_uri(self) -> str:
        """Where MLflow keeps runs and the registry."""
        return self.mlflow_tracking_uri or f"sqlite:///{self.state_dir / 'mlflow.db'}"


def load_settings(**overrides: Any) -> Settings:
    """The settings of this process: the environment, under what the command line gave (None is "not given").

    Raises:
        ConfigError: a value that cannot be used; the message names its variable.
    """
    given = {_alias(name): value for name, value in overrides.items() if value is not None}
    try:
        settings = Settings(**given)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        variable = variable_of(str(first["loc"][0]))
        why = first["msg"].removeprefix("Value error, ")
        raise ConfigError(f"{variable} cannot be used: {why}", remedy=f"Correct {variable} or unset it") from error
    if settings.redis_url is None and settings.redis_url_file is not None:
        secret = SecretStr(read_secret(settings.redis_url_file))
        return settings.model_copy(update={"redis_url": secret})
    return settings


def variable_of(name: str) -> str:
    """The environment variable of a field, given by its name or alias."""
    field = Settings.model_fields.get(name)
    if field is None:
        return name
    return str(field.validation_alias) if field.validation_alias else f"{PREFIX}{name.upper()}"


def _alias(name: str) -> str:
    return str(Settings.model_fields[name].validation_alias or name)
