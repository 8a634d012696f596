"""Memory that a process has freed, and will need again in a moment."""

from __future__ import annotations

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
_KEEP_BYTES = 1 << 30
_DOCUMENTED_BYTES = 32 << 20  # the most that mallopt(3) allows for M_MMAP_THRESHOLD, and an older glibc takes


def keep_freed_memory() -> None:
    """Keep what is freed instead of giving it back to the system, where the C library is glibc.

    A pass through a convolution asks for tens of MB and frees them, time after time. Given back, every page of them is
    fetched anew and filled with zeros: of a gradient step of the pictured reward model that was nearly half."""
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        if not mallopt(_M_MMAP_THRESHOLD, _KEEP_BYTES):
            mallopt(_M_MMAP_THRESHOLD, _DOCUMENTED_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _KEEP_BYTES)
