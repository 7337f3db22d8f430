"""The Ray cluster that a training run works on: one that is running already, or its own on this machine."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

import psutil  # type: ignore[import-untyped]
import ray

from common.errors import UnavailableError


@contextmanager
def ray_cluster(address: str | None = None) -> Iterator[int]:
    """A connected Ray, and the number of CPUs it has; what was started here is stopped again.

    Args:
        address: of a running cluster; without it `RAY_ADDRESS`, and without that a local cluster with as many
            CPUs as there are physical cores, since two fits on one core gain nothing.

    Raises:
        UnavailableError: no cluster answers at the address.
    """
    if ray.is_initialized():
        yield _cpus()
        return
    # nothing is reported to anyone, and Ray's own chatter stays out of the progress display
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    where = address or os.environ.get("RAY_ADDRESS") or None
    local = {} if where else {"num_cpus": psutil.cpu_count(logical=False) or 1, "include_dashboard": False}
    try:
        ray.init(address=where or "local", log_to_driver=False, logging_level=logging.ERROR, **local)
    except (ConnectionError, ValueError) as error:
        remedy = "Start it, or leave out --address and RAY_ADDRESS to work on this machine alone"
        raise UnavailableError(f"no Ray cluster answers at {where}", remedy=remedy) from error
    try:
        yield _cpus()
    finally:
        ray.shutdown()


def _cpus() -> int:
    return int(ray.cluster_resources().get("CPU", 1))
