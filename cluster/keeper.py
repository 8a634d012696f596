"""Keeper of a detached run: starts its driver again when it is killed, from the newest checkpoint.

    python -P -m cluster.keeper FOLDER [--resume] [--comparisons=FILE]

A process that holds nothing and imports nothing heavy, so that what ends the driver (memory, mostly) leaves it alone. A
driver that ends by itself has said why: it is not started again, nor is one that was asked to stop. The
file of comparisons, if it is still there, is read again: the driver may have been killed before it had read it all, and
reading it twice changes nothing.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path

import psutil

from cluster.supervise import ComponentFailure, Life, SupervisionConfig

_FILE_NAME = "keeper"


def keeper_process(path: Path) -> psutil.Process | None:
    """The process that keeps the run in the folder `path`, if one does on this machine."""
    try:
        descriptor = os.open(path / _FILE_NAME, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        with contextlib.suppress(psutil.Error, ValueError):  # ended meanwhile, or has not said its number yet
            return psutil.Process(int(os.read(descriptor, 32)))
    finally:
        os.close(descriptor)
    return None


@contextlib.contextmanager
def _keeping(path: Path) -> Generator[None]:
    """This process is the run's keeper meanwhile, however it ends. Raises BlockingIOError where another is."""
    descriptor = os.open(path / _FILE_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.truncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
        yield
    finally:
        os.close(descriptor)


class Keeper:
    """`run` returns when the run is over."""

    def __init__(self, path: Path, arguments: list[str]) -> None:
        self._path, self._arguments = path, arguments
        self._driver: subprocess.Popen[bytes] | None = None
        self._is_stopping = False

    def run(self) -> int:
        """The exit code of the last driver. Raises ComponentFailure where starting it again is vain."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stop())
        life = Life("driver", SupervisionConfig(), lambda _, text: print(text, file=sys.stderr, flush=True))
        while True:
            code = self._drive(life)
            if code >= 0 or self._is_stopping:
                return code if code >= 0 else 1
            life.ended(f"{signal.Signals(-code).name} ended it")
            self._arguments = ["--resume", *filter(_names_comparisons, self._arguments)]
            time.sleep(life.pause_s)
            if self._is_stopping:
                return 1

    def _drive(self, life: Life) -> int:
        """One driver from its start to its end; as `Popen.wait` tells it."""
        command = [sys.executable, "-P", "-m", "cluster.job", str(self._path), *self._arguments]
        self._driver = subprocess.Popen(command)
        life.started()
        life.moved()
        if self._is_stopping:  # it was asked before the driver was there to be told
            self._driver.terminate()
        return self._driver.wait()

    def _stop(self) -> None:
        self._is_stopping = True
        if self._driver is not None and self._driver.poll() is None:
            self._driver.terminate()


def _names_comparisons(argument: str) -> bool:
    name, _, file = argument.partition("=")
    return name == "--comparisons" and Path(file).exists()


def main(arguments: list[str]) -> int:
    path = Path(arguments[0])
    try:
        with _keeping(path):
            return Keeper(path, arguments[1:]).run()
    except BlockingIOError:
        print(f"twoclips: the run in {path} is at work already: see it with `twoclips attach {path}`", file=sys.stderr)
    except ComponentFailure as error:
        print(f"twoclips: {error}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
