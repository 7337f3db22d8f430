"""Signals are sent to this very process, and so are real."""

import contextlib
import os
import signal
import subprocess
import sys

import pytest

from deployments.stop_signals import Stopped, StopSignals


@pytest.fixture
def signals():
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    yield StopSignals()
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_stops(signals, number):
    signals.install()

    with pytest.raises(Stopped) as stopped:
        os.kill(os.getpid(), number)

    assert stopped.value.signal_number == number
    assert signals.received


def test_the_second_signal_changes_nothing(signals):
    signals.install()
    with pytest.raises(Stopped):
        os.kill(os.getpid(), signal.SIGINT)

    os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGTERM)


def test_a_stop_that_a_library_swallowed_is_remembered(signals):
    signals.install()
    with contextlib.suppress(Stopped):
        os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Stopped):
        signals.check()


def test_nothing_interrupts_cleaning_up(signals):
    signals.install()
    signals.shield()

    os.kill(os.getpid(), signal.SIGINT)

    signals.check()
    assert not signals.received


def test_a_closed_terminal_does_not_stop_what_runs_under_nohup():
    program = (
        "import os, signal; from deployments.stop_signals import StopSignals; StopSignals().install();"
        "os.kill(os.getpid(), signal.SIGHUP); print('goes on')"
    )

    done = subprocess.run(["nohup", sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout == "goes on\n"
