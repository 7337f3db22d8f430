"""Secrets that live in files that only their owner can read, so that no argument, log or process list shows them."""

import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

from common.errors import ConfigError


def read_secret(path: Path) -> str:
    """The text of a secret file.

    Raises:
        ConfigError: it is not there, cannot be read, is empty, or others may read it.
    """
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the secret {path} cannot be read: {error}") from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigError(f"the secret {path} can be read by others", remedy=f"chmod 600 {path}")
    if not text:
        raise ConfigError(f"the secret {path} is empty", remedy="Remove the file: a new one is made at the next start")
    return text


def write_secret(path: Path, secret: str) -> None:
    """Put a secret in place of what is at `path`, whole and with mode 600 from its first byte."""
    temporary = _temporary(path, secret)
    temporary.replace(path)


def ensure_secret(path: Path, make: Callable[[], str]) -> str:
    """The secret at `path`; made by `make` if there is none. Of two that start at once, both get the same.

    Raises:
        ConfigError: there is one that `read_secret` refuses, or none can be written.
    """
    if not path.exists():
        temporary = _temporary(path, make())
        try:
            os.link(temporary, path)  # fails if somebody was faster: then theirs holds
        except FileExistsError:
            pass
        finally:
            temporary.unlink()
    return read_secret(path)


def _temporary(path: Path, secret: str) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mkstemp gives mode 600
    except OSError as error:
        raise ConfigError(f"no secret can be written to {path}: {error}") from error
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        stream.write(secret)
    return Path(name)
