"""LabelServer: the labeling pages of a run, served by a process of their own for as long as the run wants them.

    with LabelServer(served, folder.path, LabelServerConfig()) as address: ...

The listening socket is ours and the serving process inherits it: when that process dies another takes its place on the
same address, and who connects meanwhile waits a moment instead of being refused. The address is in
`<folder>/labeling/url` while it runs, its log in `<folder>/labeling/server.log`.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO

import psutil

from actors.failures import Failure
from cluster.child import Process, end, spawn
from cluster.machine import processor_s
from cluster.page_address import announce, listen_on, withdraw
from cluster.supervise import Life, SupervisionConfig, Tell
from reward_service.address import REDIS_VARIABLE

STOP_TIMEOUT_S = 5.0


class LabelServerError(Failure, RuntimeError):
    """The labeling pages cannot be served; the message says what to do."""


@dataclass(frozen=True)
class LabelServerConfig:
    """host     address of this machine on which the pages are served; all but loopback ones admit invited people only
    port     of the pages; where it is taken, any free one
    lease_s  seconds that a labeler has for a pair before others are given it
    overlap  answers counted for each query, of as many labelers
    """

    host: str = "127.0.0.1"
    port: int = 8765
    lease_s: float = 60.0
    overlap: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.port < 65536 or self.lease_s <= 0 or self.overlap < 1:
            raise ValueError(
                f"labeling needs a port from 0 to 65535, lease_s > 0 and overlap >= 1, got {self.port}, "
                f"{self.lease_s} and {self.overlap}"
            )
        if self.host in ("", "0.0.0.0", "::"):
            raise ValueError("labeling.host must be the one address of this machine that people will type, not any")

    @property
    def invited_only(self) -> bool:
        """Whether there is no local person: the pages can be reached from elsewhere."""
        return self.host not in ("127.0.0.1", "localhost")


@dataclass(frozen=True)
class Served:
    """Which run the pages are of."""

    task: str
    redis_url: str
    run_id: str


class LabelServer:
    """Keeps one serving process alive, from start() to stop(). `life`: of whichever process it is."""

    PATIENCE = SupervisionConfig(stuck_s=10.0, starting_s=60.0)
    ASK_EVERY_S = 2.0
    BUSY = 0.2  # of a core, without an answer: it works

    def __init__(self, served: Served, folder: Path, config: LabelServerConfig, tell: Tell = lambda *_: None) -> None:
        """`tell` is told whenever the serving process is started again."""
        self._served, self._folder, self._config = served, folder / "labeling", config
        self.life = Life("labeling pages", self.PATIENCE, tell)
        self._socket: socket.socket | None = None
        self._announced: IO[str] | None = None
        self._process: Process | None = None
        self._stopping = threading.Event()
        self._watcher: threading.Thread | None = None

    @property
    def address(self) -> str:
        """What a person types into a browser."""
        return f"http://{self._config.host}:{self._port}/"

    @property
    def _port(self) -> int:
        assert self._socket is not None, "start() first"
        return self._socket.getsockname()[1]

    @property
    def process_id(self) -> int | None:
        """The serving process; None when there is none just now."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(self) -> str:
        """Open the address, start serving, return the address at once: a browser that comes early waits.
        Raises LabelServerError."""
        if self._socket is None:
            try:
                self._socket = listen_on(self._config.host, self._config.port)
            except OSError as error:
                raise LabelServerError(
                    f"no port of {self._config.host} can be opened for the labeling pages ({error.strerror}): name a "
                    "free one with --set labeling.port=PORT, or another address of this machine with --set "
                    "labeling.host=ADDRESS"
                ) from error
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
                self._announced = announce(self._folder / "url", self.address)
                self._serve()
            except OSError as error:
                self.stop()
                raise LabelServerError(
                    f"the labeling pages cannot be served from {self._folder} ({error.strerror or error}): make it "
                    "writable and free some disk space"
                ) from error
            self._watcher = threading.Thread(target=self._watch, name="label-server-watcher", daemon=True)
            self._watcher.start()
        return self.address

    def stop(self) -> None:
        """Stop serving; leaves no process and no address behind."""
        self._stopping.set()
        if self._watcher is not None:
            self._watcher.join()
            self._watcher = None
        if self._process is not None:
            end(self._process, STOP_TIMEOUT_S)
            self._process = None
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._announced is not None:
            withdraw(self._folder / "url", self._announced)
            self._announced = None

    def __enter__(self) -> str:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _serve(self) -> None:
        assert self._socket is not None
        self.life.started()
        descriptor = self._socket.fileno()
        served, config = self._served, self._config
        # -P: a folder called labeling where the command was started must not be taken for ours
        arguments = [sys.executable, "-P", "-m", "labeling.serve", "--fd", str(descriptor)]
        arguments += ["--run-id", served.run_id, "--task", served.task, "--host", config.host]
        arguments += ["--lease-s", str(config.lease_s)]
        log = os.open(self._folder / "server.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

        def keep(process: Process) -> None:
            self._process, self.life.process_id = process, process.pid

        try:
            spawn(arguments, keep, (descriptor,), log, {REDIS_VARIABLE: served.redis_url})
        finally:
            os.close(log)

    def _watch(self) -> None:
        """Starts another process when the present one ends, or no longer answers, however often: what ails it (a full
        disk, a lost Redis) may pass."""
        asked_s = time.monotonic()
        while not self._stopping.wait(0.1):
            if self.process_id is not None:
                if time.monotonic() - asked_s > self.ASK_EVERY_S:
                    self._ask()
                    asked_s = time.monotonic()
                if not self.life.is_stuck or not self.process_id:
                    continue
                why = f"they had not answered for {self.life.silent_s:.0f} s"
                assert self._process is not None
                end(self._process, 0.0)
            else:
                why = "their process ended"
            self.life.ended(why, "are served again", is_needed=False)
            if self._stopping.wait(self.life.pause_s):
                return
            with contextlib.suppress(OSError):
                self._serve()

    def _ask(self) -> None:
        """Fetch the small icon: whoever serves that is alive; and so is one that has no time for it, since it is busy
        with people: ending that would only bring them all back at once."""
        connection = http.client.HTTPConnection(self._config.host, self._port, timeout=self.ASK_EVERY_S)
        begin_s, begin = time.monotonic(), self._processor_s()
        try:
            connection.request("GET", "/static/favicon.svg")
            connection.getresponse().read()
            self.life.moved()
        except (OSError, http.client.HTTPException):
            if self._processor_s() - begin > self.BUSY * (time.monotonic() - begin_s):
                self.life.moved()
        connection.close()

    def _processor_s(self) -> float:
        """Processor time of the serving process so far; 0 where there is none."""
        with contextlib.suppress(psutil.Error):
            return processor_s(psutil.Process(self.process_id)) if self.process_id else 0.0
        return 0.0
