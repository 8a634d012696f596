"""A real `twoclips train --labeler human` on a local Ray, as a process of its own, and its parts by what they do."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from cluster.label import is_listening
from cluster.run_folder import RunFolder
from tests.labeling.pool import TASK


@dataclass(frozen=True)
class HumanRun:
    """The run at work, and the address of its labeling pages."""

    process: psutil.Process
    folder: RunFolder
    address: str

    def services(self) -> list[psutil.Process]:
        """The reward trainer's process and the query actor's, the one that began first, first. Killing the first of
        the two, again and again, kills each in turn."""
        found = [each for each in self._children() if _title(each)[:1] == ["ray::ServiceHost"]]
        return sorted(found, key=lambda each: each.create_time())

    def label_servers(self) -> list[psutil.Process]:
        return [each for each in self._children() if "labeling.serve" in _title(each) and "-c" not in _title(each)]

    def is_learning(self) -> bool:
        return bool(self.folder.read_metrics())

    def _children(self) -> list[psutil.Process]:
        return self.process.children(recursive=True)


@contextmanager
def human_run(path: Path, redis_url: str, *options: str) -> Iterator[HumanRun]:
    """Starts the run beside a Redis that is there, and ends it as Ctrl-C would."""
    command = [sys.executable, "-m", "cluster.cli", "train", TASK, "--labeler", "human", "--redis", redis_url]
    command += ["--run", str(path), "--workers", "1", "--set", "labeling.port=0", *options]
    with (path.parent / "train.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        url = path / "labeling" / "url"
        wait_until(lambda: process.poll() is not None or (url.exists() and is_listening(url.read_text().strip())))
        assert process.poll() is None, (path.parent / "train.log").read_text()[-2000:]
        yield HumanRun(psutil.Process(process.pid), RunFolder.open(path), url.read_text().strip())
        assert process.poll() is None, (path.parent / "train.log").read_text()[-2000:]
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(90)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_until(holds: Callable[[], bool], timeout_s: float = 180.0) -> None:
    """Raises AssertionError when it does not come to hold."""
    deadline_s = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline_s, f"not so after {timeout_s:.0f} seconds"
        time.sleep(0.1)


def _title(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:  # ended meanwhile
        return []
