"""This machine, or container: how many cores are ours, what processes use of them, and where a process number means
something."""

from __future__ import annotations

import functools
import os
import socket
from pathlib import Path

import psutil


def num_cores() -> int:
    """Cores that this process may use; not every system can say which they are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processor_s(*processes: psutil.Process) -> float:
    """Processor time of all of them so far. Raises psutil.Error where one is gone."""
    return sum(times.user + times.system for times in (process.cpu_times() for process in processes))


@functools.cache
def process_space() -> str:
    """The same for two processes exactly if one may send the other a signal by its number. Not the host's name, which
    clones and containers share; where there is no /proc, it must do."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        return socket.gethostname()
