"""Serving on a Ray cluster that somebody else runs: what we deploy goes with us, the cluster stays."""

import os
import subprocess
import sys
import tempfile

import httpx
import pytest
import yaml

from deployments.ports import LOOPBACK, first_free, is_free
from tests.integration.serving_process import ServingProcess
from tests.integration.test_lifecycle import trained  # noqa: F401 - a fixture

pytestmark = pytest.mark.slow

CLUSTER = """
import sys, time
import ray
context = ray.init(address="local", num_cpus=8, include_dashboard=False, log_to_driver=False, _temp_dir=sys.argv[1])
print(context.address_info["gcs_address"], flush=True)
sys.stdin.read()
"""

# no token, and on loopback: what both sides must know of a cluster like that
VARIABLES = {"RAY_AUTH_MODE": "disabled", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0"}


@pytest.fixture
def cluster():
    """The address of a Ray cluster of another process."""
    with tempfile.TemporaryDirectory(prefix="cc", dir="/tmp") as directory:  # a short name, for Ray's sockets
        command = [sys.executable, "-c", CLUSTER, directory]
        process = subprocess.Popen(
            command, env={**os.environ, **VARIABLES}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        yield process, process.stdout.readline().strip()
        process.communicate(timeout=30)


def test_the_application_comes_and_goes_and_the_cluster_stays(cluster, trained, tmp_path):  # noqa: F811
    host, address = cluster
    (tmp_path / "mlflow.db").write_bytes((trained / "mlflow.db").read_bytes())
    config = tmp_path / "serve.yaml"
    application = {"name": "cartcast", "import_path": "tests.integration.placeholder_app:build"}
    config.write_text(yaml.safe_dump({"applications": [application]}))
    process = ServingProcess(tmp_path, config, first_free(LOOPBACK, 18_300), RAY_ADDRESS=address, **VARIABLES)
    try:
        process.wait_until_ready()
        facts = httpx.get(f"{process.address}/facts").json()
        process.press_ctrl_c()

        assert process.wait(60) == 0
    finally:
        process.discard()
    assert facts["counted"] == 1  # it reached the Redis that `serve` started
    assert facts["environment"]["CARTCAST_STATE_DIR"] == str(tmp_path)
    assert is_free(LOOPBACK, process.port)
    assert host.poll() is None


def test_an_address_where_nobody_is_fails_at_once(tmp_path):
    process = ServingProcess(tmp_path, tmp_path / "none.yaml", first_free(LOOPBACK, 18_300), RAY_ADDRESS="127.0.0.1:9")

    assert process.wait(30) == 2
    assert process.err.startswith("error: no Ray cluster answers at 127.0.0.1:9: ")
    assert len(process.err.splitlines()) == 1
