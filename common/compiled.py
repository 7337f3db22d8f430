"""Functions compiled by numba at first use; what was compiled is kept on disk and never outlives its source.

numba keeps machine code per function and looks at the age of that function's own file alone. A definition that is
spread over several files would go on with the old code of its parts, and vectors of training and serving would
differ in silence. So the key of what is kept holds a hash of all the sources that compiled code reads.
"""

import hashlib
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from numba import njit
from numba.core.caching import FunctionCache

SOURCES = (
    "catalog*.py",
    "clock.py",
    "compiled.py",
    "daycounts.py",
    "events.py",
    "feature*.py",
    "replay*.py",
    "shapley.py",
    "window.py",
)
"""The files of this package whose code or constants end up in machine code."""


def compiled(function: Any) -> Any:
    """Compile at first use (some seconds), keep the result (then 0.2 s), release the GIL.

    Arithmetic stays in the order in which it is written (no fastmath): the same bits on every path.
    """
    dispatcher: Any = njit(nogil=True)(function)
    try:
        dispatcher._cache = _Kept(function)  # type: ignore[no-untyped-call]
    except RuntimeError:  # nowhere to keep it: a read-only image without a home
        return dispatcher
    return dispatcher


class _Kept(FunctionCache):
    """Machine code on disk, beside the source or in the user's own cache directory."""

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep it if there is room: a full disk costs the next process a compilation, not this one its work."""
        with suppress(OSError):
            super().save_overload(sig, data)  # type: ignore[no-untyped-call]

    def _index_key(self, sig: Any, codegen: Any) -> tuple[Any, ...]:
        return (*super()._index_key(sig, codegen), sources_hash())  # type: ignore[no-untyped-call]


@cache
def sources_hash() -> str:
    """Names the sources that this process was started with."""
    digest = hashlib.blake2b(digest_size=16)
    here = Path(__file__).parent
    for path in sorted({path for pattern in SOURCES for path in here.glob(pattern)}):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
