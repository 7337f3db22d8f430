"""The Ray that batch scoring runs on: one that is there, or its own on this machine; and what it says, kept quiet."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil  # type: ignore[import-untyped]
import ray
from ray.data import DataContext
from ray.exceptions import RayTaskError

from common.errors import CartcastError, UnavailableError

OBJECT_STORE_BYTES = 2**30
"""Of a cluster of our own: blocks pass through it, nothing is kept there."""


@contextmanager
def ray_cluster(address: str | None = None) -> Iterator[int]:
    """A connected Ray, and the number of CPUs it has; what was started here is stopped again.

    Args:
        address: of a running cluster; without it `RAY_ADDRESS`, and without that a local cluster with as many
            CPUs as there are physical cores.

    Raises:
        UnavailableError: no cluster answers at the address.
    """
    started = not ray.is_initialized()
    if started:
        _connect(address or os.environ.get("RAY_ADDRESS") or None)
    try:
        with _quiet():
            yield max(1, int(ray.cluster_resources().get("CPU", 1)))
    finally:
        if started:
            ray.shutdown()


@contextmanager
def errors_of_tasks() -> Iterator[None]:
    """Raise an error of ours as it was raised in the task, without Ray's wrapping."""
    try:
        yield
    except RayTaskError as error:
        if isinstance(error.cause, CartcastError):
            raise error.cause from None
        raise


def _connect(address: str | None) -> None:
    # nothing is reported to anyone, and Ray's own chatter stays out of the progress display
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    own: dict[str, Any] = {
        "num_cpus": psutil.cpu_count(logical=False) or 1,
        "object_store_memory": OBJECT_STORE_BYTES,
        "include_dashboard": False,
    }
    try:
        ray.init(
            address=address or "local", log_to_driver=False, logging_level=logging.ERROR, **({} if address else own)
        )
    except (ConnectionError, ValueError) as error:
        raise UnavailableError(
            f"no Ray cluster answers at {address}",
            remedy="Start it, or leave out --address and RAY_ADDRESS to work on this machine alone",
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what Ray Data says about its plans and its own bars off the terminal: it is in Ray's log files."""
    context = DataContext.get_current()
    before = context.enable_progress_bars, context.print_on_execution_start
    handlers = [handler for handler in logging.getLogger("ray.data").handlers if handler.get_name() == "console"]
    levels = [handler.level for handler in handlers]
    context.enable_progress_bars = context.print_on_execution_start = False
    for handler in handlers:
        handler.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        context.enable_progress_bars, context.print_on_execution_start = before
        for handler, level in zip(handlers, levels, strict=True):
            handler.setLevel(level)
