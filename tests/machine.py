"""What a test asks of the machine: whether a process lives, which one is a part of a run, a port that is free."""

from __future__ import annotations

import socket

import psutil

from cluster.run_folder import RunFolder
from cluster.run_status import read_status
from tests.waiting import wait_until


def lives(process_id: int) -> bool:
    """Whether it is there, and more than a zombie that waits for its parent to look."""
    try:
        return psutil.Process(process_id).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def process_of(folder: RunFolder, part: str) -> psutil.Process:
    """Of a part of a run at work, by its name in status.json, as soon as that tells of one that lives."""
    found: list[int] = []

    def look() -> bool:
        told = [each.get("process_id") for each in read_status(folder)["components"] if each["name"] == part]
        found[:] = [process_id for process_id in told if process_id and lives(process_id)]
        return bool(found)

    wait_until(look, what=f"a process of {part}")
    return psutil.Process(found[0])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
