"""This machine, or container: how many cores are ours, and where a process number means something."""

from __future__ import annotations

import functools
import os
import socket
from pathlib import Path


def num_cores() -> int:
    """Cores that this process may use; not every system can say which they are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@functools.cache
def process_space() -> str:
    """The same for two processes exactly if one may send the other a signal by its number. Not the host's name, which
    clones and containers share; where there is no /proc, it must do."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        return socket.gethostname()
