"""`python -m deployments serve`: brings everything up in order, stays while it runs, takes everything down."""

import contextlib
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from common import processes
from common.bundle import Bundle, open_bundle
from common.clock import Clock, now_us
from common.errors import StartError
from common.feature_specs import SCHEMA_HASH
from deployments import ports
from deployments.application import Deployed, wait_until_ready
from deployments.cluster import ROOT, LocalCluster, VisitedCluster
from deployments.deploy_config import complete, read_config
from deployments.narration import Narration
from deployments.ports import LOOPBACK, PortClaims, Ports, choose_ports
from deployments.redis_server import RedisServer, require_redis
from deployments.registry import find_bundle
from deployments.run_directory import RunDirectory
from deployments.secret_files import write_secret
from deployments.settings import load_settings
from deployments.stop_signals import Stopped, StopSignals
from deployments.tokens import SCOPES, issue_token, signing_secret
from deployments.welcome import example_request, welcome

TOKEN_TTL_S = 12 * 3_600
WATCH_S = 1.0


@dataclass(frozen=True)
class ServeOptions:
    """What the command line of `serve` says; None is "not given"."""

    config: Path
    version: str | None = None
    alias: str | None = None
    port: int | None = None
    address: str | None = None


def run(options: ServeOptions, clock: Clock = now_us) -> int:
    """Serve until a signal or a failure; gives the exit code.

    0 after being stopped while serving, 128 + the signal's number if stopped before that.

    Raises:
        CartcastError: it did not come up, or ended; everything that was started is gone.
    """
    signals = StopSignals()
    signals.install()
    service = Service(options, signals, clock)
    try:
        service.bring_up()
        service.watch()
    except (Stopped, SystemExit):  # SystemExit is how Ray's own handler of SIGTERM stops, where it is in place
        signals.shield()
        return 0 if service.is_ready else 128 + (signals.received or signal.SIGTERM)
    finally:
        signals.shield()
        service.take_down()
    return 0


class Service:
    """Redis, Ray and the application of one run, and the order in which they come and go."""

    def __init__(self, options: ServeOptions, signals: StopSignals, clock: Clock) -> None:
        self._options = options
        self._signals = signals
        self._clock = clock
        self._settings = load_settings(http_port=options.port)
        address = options.address or os.environ.get("RAY_ADDRESS")
        self._address = None if address in (None, "", "local") else address
        self._run = RunDirectory(self._settings.state_dir)
        self._redis_url_file = self._settings.state_dir / "redis.url"
        self._narration = Narration()
        self._redis: RedisServer | None = None
        self._cluster: LocalCluster | VisitedCluster | None = None
        self._held = contextlib.ExitStack()
        self._ports: Ports | None = None
        self.is_ready = False

    def bring_up(self) -> None:
        """Everything, what is quick to fail first.

        Raises:
            CartcastError: something is missing or does not start; what was started is for `take_down`.
            Stopped: a signal came.
        """
        secret = signing_secret(self._settings)
        for orphan in self._run.claim():
            self._narration.step(f"ended {orphan}, left behind by an earlier run")
        os.environ.update(self._environment())
        stdout = self._divert_stdout()
        cluster = self._choose_cluster()
        cluster.prepare()
        config = read_config(self._options.config)
        found = find_bundle(self._settings, version=self._options.version, alias=self._options.alias)
        # every replica checks what it reads; checking all of it here takes well below a second, and they take many
        bundle = open_bundle(found.path, feature_schema=SCHEMA_HASH)
        self._narration.step(f"bundle {bundle.version} at {bundle.path}")
        self._start_redis()
        self._start_ray(cluster)
        self._start_application(config, bundle)
        self.is_ready = True
        token = issue_token(secret, "operator", SCOPES, TOKEN_TTL_S, self._clock())
        text = welcome(self._host, self._settings.http_port, bundle.version, token, example_request(bundle.manifest))
        print(text, file=stdout, flush=True)

    def watch(self) -> None:
        """Stay while everything runs.

        Raises:
            StartError: Ray has ended under us.
            Stopped: a signal came.
        """
        while True:
            self._signals.check()
            failure = self._cluster.failed() if self._cluster else ""
            if failure:
                self.is_ready = False
                raise StartError(failure, remedy=f"Start again; the logs are in {self._run.path}")
            if self._redis is not None and not self._redis.running:
                self._narration.step("redis-server ended; starting it again over the same data")
                self._redis.start()
            time.sleep(WATCH_S)

    def take_down(self) -> None:
        """End what was started, in the opposite order, and see to it that nothing is left."""
        if not self._run.claimed:
            return
        started = self._cluster is not None or self._redis is not None
        failed = started and not self.is_ready and self._signals.received is None
        if started:
            self._narration.step("stopping")
        with contextlib.ExitStack() as steps:  # last in, first out; each runs whatever becomes of the others
            steps.callback(self._run.release, keep=failed)
            steps.callback(self._held.close)
            steps.callback(self._end_stragglers)
            steps.callback(self._redis_url_file.unlink, missing_ok=True)
            if self._redis is not None:
                steps.callback(self._redis.stop)
            if self._cluster is not None:
                steps.callback(self._signals.install)
                steps.callback(self._cluster.stop)
            steps.callback(self._narration.close)
        if started:
            self._narration.step(
                f"stopped; its logs are in {self._run.path} until the next start" if failed else "stopped"
            )

    @property
    def _host(self) -> str:
        """Where the service is reached from this machine."""
        return LOOPBACK if self._settings.http_host in ("0.0.0.0", "::") else self._settings.http_host  # noqa: S104

    def _environment(self) -> dict[str, str]:
        """What every process of this run inherits: names of places, no secret."""
        return {processes.MARK: str(self._run.path), **self._variables()}

    def _variables(self) -> dict[str, str]:
        return {
            "CARTCAST_STATE_DIR": str(self._settings.state_dir),
            "CARTCAST_REDIS_URL_FILE": str(self._redis_url_file),
        }

    def _start_redis(self) -> None:
        if self._settings.redis_url is None:
            self._redis = RedisServer(self._settings.state_dir / "redis", self._settings.redis_port)
            self._redis.start()
            url, where = self._redis.url, f"{LOOPBACK}:{self._redis.port}, data in {self._settings.state_dir / 'redis'}"
        else:
            url = self._settings.redis_url.get_secret_value()
            where = require_redis(url)
        write_secret(self._redis_url_file, url)
        self._narration.step(f"Redis at {where}")

    def _divert_stdout(self) -> TextIO:
        """Gives the real one: Ray prints what goes wrong in its tasks to it, which here goes to a file."""
        stdout = sys.stdout
        messages = self._held.enter_context((self._run.path / "ray-messages.log").open("w", encoding="utf-8"))
        self._held.enter_context(contextlib.redirect_stdout(messages))
        return stdout

    def _choose_cluster(self) -> LocalCluster | VisitedCluster:
        if self._address is not None:  # there the ports are not ours to choose
            return VisitedCluster(self._address)
        self._ports = choose_ports(self._settings, self._held.enter_context(contextlib.closing(PortClaims())))
        return LocalCluster(self._settings, self._run.path, self._ports)

    def _start_ray(self, cluster: LocalCluster | VisitedCluster) -> None:
        self._signals.check()
        self._narration.waiting(f"connecting to Ray at {self._address}" if self._address else "starting Ray")
        self._cluster = cluster
        try:
            cluster.start()
        finally:
            self._signals.install()
        if isinstance(cluster, VisitedCluster) and self._redis is not None:
            cluster.require_one_machine()
        self._narration.step("Ray is up")

    def _start_application(self, config: dict[str, Any], bundle: Bundle) -> None:
        deadline = time.monotonic() + self._settings.start_timeout_s
        application = Deployed(self._completed(config, bundle))
        self._narration.waiting("starting Ray Serve and HAProxy")
        application.deploy()
        self._signals.check()
        self._narration.step("Ray Serve and HAProxy are up")
        application.wait_until_running(deadline, self._wait_for)
        self._narration.step("every deployment is up")
        wait_until_ready(self._host, self._settings.http_port, deadline, self._wait_for)
        self._signals.check()
        self._narration.step("ready")
        self._narration.close()

    def _wait_for(self, what: str) -> None:
        self._signals.check()
        self._narration.waiting(what)

    def _completed(self, config: dict[str, Any], bundle: Bundle) -> dict[str, Any]:
        """On a local cluster replicas listen on loopback whatever the public host is: HAProxy alone is public."""
        local = self._ports is not None
        return complete(
            config,
            host=LOOPBACK if local else self._settings.http_host,
            port=self._settings.http_port,
            arguments={"bundle_path": str(bundle.path)},
            variables={} if local else {**self._variables(), "PYTHONPATH": str(ROOT)},
        )

    def _end_stragglers(self) -> None:
        processes.end(processes.left_behind(self._run.path), grace_s=1)
        if self._ports is None:
            return
        for port in (self._ports.http, self._ports.metrics, self._ports.stats, self._ports.fallback):
            if not ports.is_free(LOOPBACK, port):
                self._narration.step(f"port {port} is still in use by {processes.holder_of(port) or 'another process'}")
