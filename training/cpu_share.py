"""How the trials of a search share the CPUs of a cluster."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class CpuShare:
    """Each trial takes `threads` CPUs and fits on as many threads; a kind has at most `per_kind` trials under way."""

    threads: int
    per_kind: int


def share_cpus(cpus: int, *, kinds: int, trials: int, widest: int) -> CpuShare:
    """All CPUs busy and none asked for twice.

    A trial takes one CPU, and more only where there are more CPUs than trials in all: trials side by side use them
    better than one fit on many threads.

    Args:
        cpus: of the cluster.
        kinds: that are searched at once.
        trials: of each kind.
        widest: the most CPUs that one trial can have anywhere, those of the smallest node.
    """
    threads = max(1, min(cpus // (kinds * trials), widest))
    return CpuShare(threads, per_kind=max(1, math.ceil(cpus // threads / kinds)))
