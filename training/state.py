"""Where a training run keeps what outlives it: one directory, and the registry's address."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from common.errors import ConfigError

STATE_DIR = "CARTCAST_STATE_DIR"
TRACKING_URI = "MLFLOW_TRACKING_URI"


@dataclass(frozen=True)
class State:
    """The places of a run; none of them is made before it is needed."""

    directory: Path
    tracking_uri: str

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> "State":
        """`CARTCAST_STATE_DIR` (default: state) and `MLFLOW_TRACKING_URI` (default: sqlite in that directory)."""
        given = os.environ if environment is None else environment
        directory = Path(given.get(STATE_DIR) or "state").expanduser().absolute()
        return cls(directory, given.get(TRACKING_URI) or f"sqlite:///{directory / 'mlflow.db'}")

    def make(self) -> None:
        """Make the directory.

        Raises:
            ConfigError: it cannot be made, or not be written to.
        """
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            reason = error.strerror or str(error)
            raise ConfigError(
                f"the state directory {self.directory} cannot be made: {reason}", remedy=f"Set {STATE_DIR} to another"
            ) from error
        if not os.access(self.directory, os.W_OK | os.X_OK):
            raise ConfigError(
                f"the state directory {self.directory} is not writable", remedy=f"Set {STATE_DIR} to another"
            )

    @property
    def bundles(self) -> Path:
        """One directory for each bundle version."""
        return self.directory / "bundles"

    @property
    def searches(self) -> Path:
        """The states of searches, for `--resume`."""
        return self.directory / "searches"

    @property
    def quarantine(self) -> Path:
        """Rows that are no events."""
        return self.directory / "quarantine"

    @property
    def reports(self) -> Path:
        """One directory for each bundle version."""
        return self.directory / "reports"

    @property
    def artifacts(self) -> Path:
        """What a registry on this machine keeps besides its database."""
        return self.directory / "mlartifacts"

    @property
    def shown_tracking_uri(self) -> str:
        """The registry's address without a password that may be in it."""
        return re.sub(r"//[^/@]*@", "//", self.tracking_uri)

    @property
    def ray_token(self) -> Path:
        """The secret by which the processes of a local Ray know each other."""
        return self.directory / "ray.token"
