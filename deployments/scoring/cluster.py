"""The Ray that batch scoring runs on: one that is there, or its own on this machine; and what it says, kept quiet."""

import contextlib
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray
from ray.data import DataContext
from ray.exceptions import ActorDiedError, OutOfMemoryError, RayTaskError, WorkerCrashedError

from common import processes
from common.errors import CartcastError, UnavailableError

OBJECT_STORE_BYTES = 2**30
"""Of a cluster of our own: blocks pass through it, nothing is kept there."""

KNOCK_S = 5.0


@contextmanager
def ray_cluster(address: str | None = None) -> Iterator[int]:
    """A connected Ray, and the number of CPUs it has; what was started here is stopped again.

    Args:
        address: of a running cluster; without it `RAY_ADDRESS`, and without that a local cluster with as many
            CPUs as there are physical cores.

    Raises:
        UnavailableError: no cluster answers at the address.
    """
    where = address or os.environ.get("RAY_ADDRESS")
    with contextlib.nullcontext() if ray.is_initialized() else _connected(where), _quiet():
        yield max(1, int(ray.cluster_resources().get("CPU", 1)))


@contextmanager
def errors_of_tasks() -> Iterator[None]:
    """Raise an error of ours as it was raised in the task, without Ray's wrapping.

    Raises:
        UnavailableError: a process that worked on it died, again and again.
    """
    try:
        yield
    except RayTaskError as error:
        if isinstance(error.cause, CartcastError):
            raise error.cause from None
        raise
    except (ActorDiedError, OutOfMemoryError, WorkerCrashedError) as error:
        raise UnavailableError(
            f"a worker process died: {str(error).splitlines()[0]}",
            remedy="If memory ran out, use fewer --actors; Ray's logs say more",
        ) from error


@contextmanager
def _connected(address: str | None) -> Iterator[None]:
    before = set(processes.descendants())
    try:
        _connect(address)
        yield
    finally:
        # Ray's agents outlive their raylet when the start is interrupted
        ours = [process for process in processes.descendants() if process not in before]
        ray.shutdown()
        processes.end(ours, grace_s=2)


def _connect(address: str | None) -> None:
    # nothing is reported to anyone, and Ray's own chatter stays out of the progress display
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    own: dict[str, Any] = {
        "num_cpus": processes.usable_cpus(),
        "object_store_memory": OBJECT_STORE_BYTES,
        "include_dashboard": False,
    }
    options = {} if address else own
    try:
        _knock(address or "")
        ray.init(address=address or "local", log_to_driver=False, logging_level=logging.ERROR, **options)
    except (OSError, ValueError) as error:
        raise UnavailableError(
            f"no Ray cluster answers at {address}",
            remedy="Start it, or leave out --address and RAY_ADDRESS to work on this machine alone",
        ) from error


def _knock(address: str) -> None:
    """Raises OSError if nobody listens at host:port; Ray itself would try for ten minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=KNOCK_S).close()


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
