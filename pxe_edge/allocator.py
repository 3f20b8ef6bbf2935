"""How much freed memory the C library keeps for itself: little, because the edge lives for months.

A text of a megabyte that is freed raises glibc's threshold, and from then on such texts lie between small
things in arenas that never shrink again; and each thread may get an arena of its own. With facts of 1 MiB and
pages of 2 MiB that kept 30 MiB of nothing.
"""

import ctypes
from typing import Final

_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8
LARGE_BYTES: Final = 512 << 10
"""From here on memory is the kernel's own pages, given back when freed. A socket is read by 256 KiB at most,
which should not cost a call of the kernel each time."""
ARENAS: Final = 2


def keep_little() -> bool:
    """Set this for the process; False where the C library has no such settings."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES) and mallopt(_M_ARENA_MAX, ARENAS))
