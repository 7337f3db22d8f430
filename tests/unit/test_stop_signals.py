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
    hook = sys.unraisablehook
    yield StopSignals()
    signal.set_wakeup_fd(-1)
    sys.unraisablehook = hook
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_stops(signals, number):
    signals.install()

    with pytest.raises(Stopped) as stopped:
        os.kill(os.getpid(), number)

    assert stopped.value.signal_number == number
    assert signals.received == number


def test_signals_in_quick_succession_are_one(signals):
    signals.install()
    with pytest.raises(Stopped):
        os.kill(os.getpid(), signal.SIGINT)

    os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGTERM)


def test_a_later_signal_stops_again_what_went_on_all_the_same(signals, monkeypatch):
    signals.install()
    with pytest.raises(Stopped):
        os.kill(os.getpid(), signal.SIGINT)
    monkeypatch.setattr("deployments.stop_signals.REPEAT_S", 0.0)

    with pytest.raises(Stopped) as stopped:
        os.kill(os.getpid(), signal.SIGTERM)

    assert stopped.value.signal_number == signal.SIGINT  # the first one is why


def test_the_start_of_a_process_is_not_torn_apart(signals):
    steps = []

    def at_fork():
        if not steps:
            steps.append("locked")
            os.kill(os.getpid(), signal.SIGTERM)
            steps.append("noted that it is locked")

    os.register_at_fork(before=at_fork)  # as libraries do that hold locks; there is no way to take it back
    signals.install()

    done = subprocess.run(["/bin/true"], check=False, preexec_fn=lambda: None)  # which makes it fork, not spawn

    assert len(steps) == 2
    assert done.returncode == 0
    with pytest.raises(Stopped):
        signals.check()


def test_a_stop_that_a_library_swallowed_is_remembered(signals):
    signals.install()
    with contextlib.suppress(Stopped):
        os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Stopped):
        signals.check()


def test_a_signal_that_another_handler_took_is_remembered(signals):
    signals.install()
    signal.signal(signal.SIGTERM, lambda *_: None)  # as ray.init does for a while
    os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Stopped) as stopped:
        signals.check()

    assert stopped.value.signal_number == signal.SIGTERM


def test_other_signals_are_not_taken_for_a_stop(signals):
    signals.install()
    before = signal.signal(signal.SIGUSR1, lambda *_: None)
    os.kill(os.getpid(), signal.SIGUSR1)
    signal.signal(signal.SIGUSR1, before)

    signals.check()


def test_nothing_interrupts_cleaning_up(signals):
    signals.install()
    signals.shield()

    os.kill(os.getpid(), signal.SIGINT)

    signals.check()
    assert signals.received is None


def test_a_closed_terminal_does_not_stop_what_runs_under_nohup():
    program = (
        "import os, signal; from deployments.stop_signals import StopSignals; StopSignals().install();"
        "os.kill(os.getpid(), signal.SIGHUP); print('goes on')"
    )

    done = subprocess.run(["nohup", sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout == "goes on\n"
