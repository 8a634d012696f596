"""A real `twoclips train --labeler human` on a local Ray, as a process of its own, and its parts by what they do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from cluster.page_address import is_listening
from tests.labeling.pool import TASK
from tests.local_run import LocalRun
from tests.machine import free_port, process_of
from tests.waiting import wait_until


class HumanRun(LocalRun):
    """The run at work, and the address of its labeling pages, which stays the same when it is resumed."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._port = free_port()
        self.address = f"http://127.0.0.1:{self._port}/"

    def begin(self, redis_url: str, *options: str) -> None:
        self._serve("--labeler", "human", "--redis", redis_url, "--set", f"labeling.port={self._port}", *options)

    def resume(self) -> None:
        """Start it again from its last checkpoint, after its process has ended."""
        self._serve("--resume")

    def _serve(self, *options: str) -> None:
        self.start(TASK, *options)
        wait_until(lambda: not self.is_alive() or is_listening(self.address))
        self.expect_alive()

    def wait_for_end(self) -> None:
        """Until its process and the pages' are gone, whose port is free then."""
        self.process.wait(90)
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
    run = HumanRun(path)
    try:
        run.begin(redis_url, "--workers", "1", *options)
        yield run
        run.expect_alive()
    finally:
        run.end()


def _title(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:  # ended meanwhile
        return []
