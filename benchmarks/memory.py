"""How much memory this process and all below it hold while something runs."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil  # type: ignore[import-untyped]

EVERY_S = 0.5


@contextmanager
def memory_watched() -> Iterator[list[int]]:
    """Proportional set sizes in bytes, summed over the processes, noted twice a second.

    What processes share, Ray's object store among it, counts once.
    """
    noted = [0]
    over = threading.Event()

    def watch() -> None:
        while not over.wait(EVERY_S):
            noted.append(sum(map(_pss, [psutil.Process(), *psutil.Process().children(recursive=True)])))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield noted
    finally:
        over.set()
        watcher.join()


def _pss(process: psutil.Process) -> int:
    with suppress(psutil.Error):
        return int(process.memory_full_info().pss)
    return 0
