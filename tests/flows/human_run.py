"""A real `twoclips train --labeler human` on a local Ray, as a process of its own, and its parts by what they do."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from cluster.label import is_listening
from cluster.run_folder import RunFolder
from cluster.run_status import read_status
from tests.labeling.pool import TASK


class HumanRun:
    """The run at work, and the address of its labeling pages, which stays the same when it is resumed."""

    def __init__(self, path: Path, redis_url: str, *options: str) -> None:
        self._path, self._log = path, path.parent / "train.log"
        port = _free_port()
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
        found: list[psutil.Process] = []

        def look() -> bool:
            told = {each["name"]: each.get("process_id") for each in read_status(self.folder)["components"]}
            found[:] = [child for child in self._children() if child.pid == told.get(name)]
            return bool(found)

        wait_until(look)
        return found[0]

    def is_learning(self) -> bool:
        return bool(self.folder.read_metrics())

    def _only(self, what: str, is_it: Callable[[list[str]], bool]) -> psutil.Process:
        found: list[psutil.Process] = []

        def look() -> bool:
            found[:] = [child for child in self._children() if is_it(_title(child))]
            return len(found) == 1

        wait_until(look)
        return found[0]

    def _children(self) -> list[psutil.Process]:
        return self.driver().children(recursive=True)


@contextmanager
def human_run(path: Path, redis_url: str, *options: str) -> Iterator[HumanRun]:
    """Starts the run beside a Redis that is there, with one worker, and ends it as Ctrl-C would."""
    run = HumanRun(path, redis_url, "--workers", "1", *options)
    try:
        yield run
        run.expect_alive()
    finally:
        run.end()


def wait_until(holds: Callable[[], bool], timeout_s: float = 180.0) -> float:
    """Seconds that it took. Raises AssertionError when it does not come to hold."""
    begin_s = time.monotonic()
    while not holds():
        assert time.monotonic() - begin_s < timeout_s, f"not so after {timeout_s:.0f} seconds"
        time.sleep(0.1)
    return time.monotonic() - begin_s


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _title(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:  # ended meanwhile
        return []
