"""How many CPUs a process may keep busy."""

import os

import pytest

from common.processes import usable_cpus


@pytest.mark.parametrize(("quota", "most"), [("max 100000", 10**6), ("100000 100000", 1), ("50000 100000", 1)])
def test_a_container_counts_the_cpus_that_it_was_given(tmp_path, quota, most):
    (tmp_path / "cpu.max").write_text(quota)
    assert 1 <= usable_cpus(tmp_path / "cpu.max") <= most


def test_affinity_limits_what_can_be_used(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3})
    assert usable_cpus(tmp_path / "none") == 1
