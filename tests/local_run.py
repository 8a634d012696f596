"""`twoclips train` as a process of its own, as its user starts it."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import psutil

from cluster.child import Process, spawn
from cluster.run_folder import RunFolder

UNHURRIED = "tests.actors.counters:TwoclipsCounterUnhurried-v0"
"""A task for runs that a test waits for: they leave the cores to the other tests."""


class LocalRun:
    """A run in `path`, and what it says of itself. It ends with the process of the test, however that ends."""

    def __init__(self, path: Path) -> None:
        self.path, self._log = path, path.parent / "train.log"
        self._process: Process | None = None

    def start(self, task: str, *options: str, **environment: str) -> None:
        command = [sys.executable, "-m", "cluster.cli", "train", task, "--run", str(self.path), *options]

        def keep(process: Process) -> None:
            self._process = process

        with self._log.open("a") as log:
            spawn(command, keep, log=log.fileno(), environment=environment)

    @property
    def process(self) -> Process:
        assert self._process is not None, "it was never started"
        return self._process

    @property
    def folder(self) -> RunFolder:
        return RunFolder.open(self.path)

    def driver(self) -> psutil.Process:
        return psutil.Process(self.process.pid)

    def is_alive(self) -> bool:
        return self.process.poll() is None

    def expect_alive(self) -> None:
        assert self.is_alive(), self.printed()[-2000:]

    def printed(self) -> str:
        return self._log.read_text()

    def said(self, name: str) -> float:
        """The newest value of one of its metrics; 0 before it has said it."""
        rows = self.folder.read_metrics() if (self.path / "config.toml").exists() else []
        return rows[-1].get(name) or 0 if rows else 0

    def end(self, how: signal.Signals = signal.SIGINT) -> None:
        """As Ctrl-C would, or SIGTERM, and by force if that does not; whatever became of it."""
        if self._process is None:
            return
        self._process.send_signal(how)
        try:
            self._process.wait(90)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
