"""How many trials run at once, and on how many threads each."""

from hypothesis import given
from hypothesis import strategies as st

from training.cpu_share import CpuShare, share_cpus


def test_up_to_a_cpu_for_each_kind_a_kind_has_one_trial_at_a_time():
    for cpus in (1, 2, 3, 4):
        assert share_cpus(cpus, kinds=4, trials=8, widest=cpus) == CpuShare(threads=1, per_kind=1)


def test_fits_get_more_threads_only_where_there_are_more_cpus_than_trials():
    assert share_cpus(16, kinds=4, trials=8, widest=16) == CpuShare(threads=1, per_kind=4)
    assert share_cpus(16, kinds=4, trials=1, widest=16) == CpuShare(threads=4, per_kind=1)
    assert share_cpus(16, kinds=4, trials=1, widest=2) == CpuShare(threads=2, per_kind=2)


@given(cpus=st.integers(1, 512), kinds=st.integers(1, 4), trials=st.integers(1, 100), widest=st.integers(1, 64))
def test_no_cpu_is_idle_while_there_are_trials_enough(cpus, kinds, trials, widest):
    share = share_cpus(cpus, kinds=kinds, trials=trials, widest=widest)
    at_once = min(cpus // share.threads, kinds * share.per_kind, kinds * trials)
    idle = cpus - at_once * share.threads
    assert idle >= 0
    assert idle < share.threads or at_once == kinds * trials
