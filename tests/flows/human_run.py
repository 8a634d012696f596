"""A real `twoclips train --labeler human` on a local Ray, as a process of its own, and its parts by what they do."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from cluster.label import is_listening
from cluster.run_folder import RunFolder
from tests.labeling.pool import TASK
from tests.machine import free_port, process_of
from tests.waiting import wait_until


class HumanRun:
    """The run at work, and the address of its labeling pages, which stays the same when it is resumed."""

    def __init__(self, path: Path, redis_url: str, *options: str) -> None:
        self._path, self._log = path, path.parent / "train.log"
        port = free_port()
        self.address = f"http://127.0.0.1:{port}/"
        self._start("--labeler", "human", "--redis", redis_url, "--set", f"labeling.port={port}", *options)
        self.folder = RunFolder.open(path)

    def resume(self) -> None:
        """Start it again from its last checkpoint, after its process has ended."""
        self._start("--resume")

    def _start(self, *options: str) -> None:
        command = [sys.executable, "-m", "cluster.cli", "train", TASK, "--run", str(self._path), *options]
        with self._log.open("a") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        wait_until(lambda: self._process.poll() is not None or is_listening(self.address))
        self.expect_alive()

    def expect_alive(self) -> None:
        assert self._process.poll() is None, self._log.read_text()[-2000:]

    def end(self) -> None:
        """As Ctrl-C would."""
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(90)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def driver(self) -> psutil.Process:
        return psutil.Process(self._process.pid)

    def wait_for_end(self) -> None:
        """Until its process and the pages' are gone, whose port is free then."""
        self._process.wait(90)
        wait_until(lambda: not is_listening(self.address), 30.0)

    def worker(self) -> psutil.Process:
        return self._only("the rollout worker", lambda title: title[:1] == ["ray::RolloutHost"])

    def label_server(self) -> psutil.Process:
        return self._only("the labeling pages", lambda title: "labeling.serve" in title and "-c" not in title)

    def service(self, name: str) -> psutil.Process:
        """The process of "labeling" or of the "reward service"."""
        return process_of(self.folder, name)

    def is_learning(self) -> bool:
        return bool(self.folder.read_metrics())

    def _only(self, what: str, is_it: Callable[[list[str]], bool]) -> psutil.Process:
        found: list[psutil.Process] = []

        def look() -> bool:
            found[:] = [child for child in self.driver().children(recursive=True) if is_it(_title(child))]
            return len(found) == 1

        wait_until(look)
        return found[0]


@contextmanager
def human_run(path: Path, redis_url: str, *options: str) -> Iterator[HumanRun]:
    """Starts the run beside a Redis that is there, with one worker, and ends it as Ctrl-C would."""
    run = HumanRun(path, redis_url, "--workers", "1", *options)
    try:
        yield run
        run.expect_alive()
    finally:
        run.end()


def _title(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:  # ended meanwhile
        return []
