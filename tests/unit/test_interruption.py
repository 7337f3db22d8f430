"""A Ctrl-C that Python drops is raised all the same: soon after, and by the next stage at the latest."""

import io
import os
import signal
import time
import weakref

import pytest
from rich.console import Console

from training.interruption import Interruption, check, remembered
from training.progress import Progress


class Thing:
    """Something that a weakref can watch."""


def lose_one() -> None:
    """Press Ctrl-C inside a weakref callback, where Python drops what is raised."""
    thing = Thing()
    _watch = weakref.ref(thing, lambda _: os.kill(os.getpid(), signal.SIGINT))
    del thing


def progress() -> Progress:
    return Progress(Console(file=io.StringIO(), width=200))


def test_a_dropped_interrupt_is_raised_again_soon(capfd):
    with remembered() as interruption:
        lose_one()
        assert interruption.received
        with pytest.raises(KeyboardInterrupt):
            time.sleep(5.0)
    assert "Exception ignored" not in capfd.readouterr().err


def test_a_stage_does_not_begin_after_a_lost_interrupt():
    began = False
    with remembered() as interruption:
        interruption.received = True
        with pytest.raises(KeyboardInterrupt), progress().stage("fit"):
            began = True
    assert not began


def test_a_stage_in_which_an_interrupt_got_lost_ends_with_it():
    with remembered() as interruption, pytest.raises(KeyboardInterrupt), progress().stage("fit"):
        interruption.received = True


def test_an_interrupt_that_got_through_is_not_raised_once_more_by_the_alarm():
    with remembered() as interruption:
        lose_one()
        with pytest.raises(KeyboardInterrupt):
            interruption.check()
        time.sleep(0.15)


def test_without_an_interrupt_stages_go_on():
    check()
    with remembered(), progress().stage("fit"):
        check()


def test_a_second_interrupt_ends_the_process(monkeypatch):
    codes = []
    monkeypatch.setattr(os, "_exit", codes.append)
    interruption = Interruption()
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            interruption.on_sigint(signal.SIGINT, None)
    assert codes == [130]


def test_afterwards_the_signals_are_as_they_were():
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGALRM)
    with remembered() as interruption:
        assert signal.getsignal(signal.SIGINT) == interruption.on_sigint
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGALRM)) == before


def test_an_ignored_signal_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with remembered():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
