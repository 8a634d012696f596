"""LabelServer: the labeling pages of a run, served by a process of their own for as long as the run wants them.

    with LabelServer(served, folder.path, LabelServerConfig()) as address: ...

The listening socket is ours and the serving process inherits it: when that process dies another takes its place on the
same address, and who connects meanwhile waits a moment instead of being refused. The address is in
`<folder>/labeling/url` while it runs, its log in `<folder>/labeling/server.log`. A process that is killed leaves that
file behind, and another run's pages may soon be at its address: only while the file is locked does it hold.
"""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import os
import socket
import sys
import threading
import time
import webbrowser
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import psutil

from cluster.child import Process, end, spawn
from cluster.supervise import Tell
from reward_service.address import REDIS_VARIABLE

STOP_TIMEOUT_S = 5.0


class LabelServerError(RuntimeError):
    """The labeling pages cannot be served; the message says what to do."""


@dataclass(frozen=True)
class LabelServerConfig:
    """host: address of this machine on which the pages are served; any but a loopback one lets in invited people only.
    port: where it is taken, any free one.
    lease_s: how long a pair waits for its answer before others are asked. overlap: answers counted for each query."""

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
    """Keeps one serving process alive. start() and stop() may be repeated."""

    RESTART_AFTER_S = 0.2
    SETTLED_S = 10.0  # one that lived that long had started well: the pause before the next is short again

    STUCK_S = 10.0  # without an answer, though its process lives
    STARTING_S = 60.0  # before its first one
    ASK_EVERY_S = 2.0
    BUSY = 0.2  # of a core, without an answer: it works

    def __init__(self, served: Served, folder: Path, config: LabelServerConfig, tell: Tell = lambda *_: None) -> None:
        """`tell` is told whenever the serving process is started again."""
        self._served, self._folder, self._config, self._tell = served, folder / "labeling", config, tell
        self._socket: socket.socket | None = None
        self._announced: IO[str] | None = None
        self._process: Process | None = None
        self._stopping = threading.Event()
        self._watcher: threading.Thread | None = None
        self.restarts = 0
        self._answered_s, self._why = time.monotonic(), ""

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
            self._socket = listen_on(self._config.host, self._config.port)
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
                self._announced = _announce(self._folder / "url", self.address)
                self._serve()
            except OSError as error:
                self.stop()
                raise LabelServerError(
                    f"the labeling pages cannot be served from {self._folder} ({error.strerror or error}): make it "
                    "writable and free some disk space"
                ) from error
            self._stopping.clear()
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
            with self._announced as file, contextlib.suppress(OSError):
                if os.path.samestat(os.fstat(file.fileno()), (self._folder / "url").stat()):  # else another's by now
                    (self._folder / "url").unlink()
            self._announced = None

    def __enter__(self) -> str:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _serve(self) -> None:
        assert self._socket is not None
        descriptor = self._socket.fileno()
        served, config = self._served, self._config
        # -P: a folder called labeling where the command was started must not be taken for ours
        arguments = [sys.executable, "-P", "-m", "labeling.serve", "--fd", str(descriptor)]
        arguments += ["--run-id", served.run_id, "--task", served.task, "--host", config.host]
        arguments += ["--lease-s", str(config.lease_s), "--overlap", str(config.overlap)]
        log = os.open(self._folder / "server.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

        def keep(process: Process) -> None:
            self._process = process

        try:
            spawn(arguments, keep, (descriptor,), log, {REDIS_VARIABLE: served.redis_url})
        finally:
            os.close(log)

    def told(self) -> dict[str, Any]:
        """What status.json says of it: see supervise.Life.told."""
        silent_s = time.monotonic() - self._answered_s
        state = "at work" if silent_s < 2 * self.ASK_EVERY_S else "away"
        return {
            "name": "labeling pages",
            "state": state,
            "silent_s": round(silent_s, 1),
            "restarts": self.restarts,
            "why": self._why,
            "process_id": self.process_id,
        }

    def _watch(self) -> None:
        """Starts another process when the present one ends, or no longer answers. One that ends again and again is
        started ever more slowly, but every 10 seconds at least: what ails it (a full disk, a lost Redis) may pass."""
        pause_s = self.RESTART_AFTER_S
        begun_s = self._answered_s = asked_s = time.monotonic()
        while not self._stopping.wait(0.1):
            if self.process_id is not None:
                if time.monotonic() - asked_s > self.ASK_EVERY_S:
                    self._ask()
                    asked_s = time.monotonic()
                silent_s = time.monotonic() - max(self._answered_s, begun_s)
                patience_s = self.STUCK_S if self._answered_s > begun_s else self.STARTING_S
                if silent_s < patience_s or not self.process_id:
                    continue
                self._why = f"it had not answered for {silent_s:.0f} s"
                assert self._process is not None
                end(self._process, 0.0)
            else:
                self._why = "its process ended"
            pause_s = self.RESTART_AFTER_S if time.monotonic() - begun_s > self.SETTLED_S else min(10.0, pause_s * 2)
            if self._stopping.wait(pause_s):
                return
            self.restarts += 1
            self._tell("labeling pages", f"the labeling pages are served again: {self._why}")
            begun_s = time.monotonic()
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
            self._answered_s = time.monotonic()
        except (OSError, http.client.HTTPException):
            now_s = time.monotonic()
            if self._processor_s() - begin > self.BUSY * (now_s - begin_s):
                self._answered_s = now_s
        connection.close()

    def _processor_s(self) -> float:
        """Processor time of the serving process so far; 0 where there is none."""
        with contextlib.suppress(psutil.Error):
            times = psutil.Process(self.process_id).cpu_times() if self.process_id else None
            return times.user + times.system if times else 0.0
        return 0.0


def announced(run: Path) -> str:
    """The address at which a process that is alive serves the pages of the run in that folder; "" where none does."""
    try:
        with (run / "labeling" / "url").open(encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return (run / "labeling" / "url").read_text(encoding="utf-8").strip()
    except OSError:
        pass
    return ""


def _announce(path: Path, address: str) -> IO[str]:
    """Writes the address down, locked until the file is closed, also by the end of this process."""
    part = path.with_name(f"url.{os.getpid()}")
    file = part.open("w", encoding="utf-8")
    file.write(address + "\n")
    file.flush()
    fcntl.flock(file, fcntl.LOCK_EX)
    part.replace(path)
    return file


def open_page(address: str) -> None:
    """Show the pages to whoever sits at this machine. Where there is no screen nothing happens: a browser for the
    terminal would take it over."""
    if sys.platform == "darwin" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        webbrowser.open(address)


def listen_on(host: str, port: int) -> socket.socket:
    """A listening socket on `host`, on `port` or, where that is taken, on any."""
    for candidate in (port, 0):
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind((host, candidate))
            listening.listen(512)
            return listening
        except OSError as error:
            listening.close()
            reason = error
    raise LabelServerError(
        f"no port of {host} can be opened for the labeling pages ({reason.strerror}): name a free one with "
        "--set labeling.port=PORT, or another address of this machine with --set labeling.host=ADDRESS"
    )
