"""`python -m deployments serve` as a process of its own, with what the tests of the life cycle ask about it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from deployments.run_directory import RunDirectory

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 150.0


def wait_until(condition: Callable[[], object], what: str, timeout_s: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout_s:.0f} s in vain for: {what}"
        time.sleep(0.05)


class ServingProcess:
    """Started with its own state directory and port; its output is in two files."""

    def __init__(
        self,
        state: Path,
        config: Path,
        port: int,
        *,
        command: list[str] | None = None,
        more: list[str] | None = None,
        **variables: str,
    ):
        self.state, self.port = state, port
        self.run_directory = RunDirectory(state).path
        state.mkdir(exist_ok=True, parents=True)
        ordinal = len(list(state.glob("*.out.txt")))
        self._out, self._err = state / f"{ordinal}.out.txt", state / f"{ordinal}.err.txt"
        arguments = [sys.executable, "-m", "deployments", "serve", "--config", str(config), "--port", str(port)]
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "REDIS_"))}
        with self._out.open("w") as out, self._err.open("w") as err:
            self.popen = subprocess.Popen(
                [*(command or []), *arguments, *(more or [])],
                cwd=ROOT,
                env={**environment, "CARTCAST_STATE_DIR": str(state), **variables},
                stdout=out,
                stderr=err,
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # a process group of its own, as a terminal gives to what runs in front
            )

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def out(self) -> str:
        return self._out.read_text()

    @property
    def err(self) -> str:
        return self._err.read_text()

    @property
    def error_lines(self) -> list[str]:
        return [line for line in self.err.splitlines() if line.startswith("error: ")]

    def wait_until_said(self, text: str) -> None:
        wait_until(lambda: text in self.err + self.out or self.popen.poll() is not None, f"{text!r} in the output")
        assert text in self.err + self.out, self.err

    def wait_until_ready(self) -> None:
        self.wait_until_said("Ctrl-C stops it.")

    def processes(self) -> list[psutil.Process]:
        """This process and all that it started."""
        own = psutil.Process(self.popen.pid)
        return [own, *own.children(recursive=True)]

    @property
    def serving_pid(self) -> int:
        """The process that does the work, below its guardian."""
        return psutil.Process(self.popen.pid).children()[0].pid

    def press_ctrl_c(self) -> None:
        """What a terminal does: SIGINT to the whole group."""
        os.killpg(self.popen.pid, signal.SIGINT)

    def wait(self, timeout_s: float = PATIENCE_S) -> int:
        return self.popen.wait(timeout_s)

    def discard(self) -> None:
        """End whatever is left, so that a failed test leaves nothing either."""
        if self.popen.poll() is None:
            self.popen.terminate()
            try:
                self.popen.wait(30)
            except subprocess.TimeoutExpired:
                self.popen.kill()
                self.popen.wait()
