"""Where pages are served: the socket they listen on, the file that says so, and whether that still holds.

The address is in `<run>/labeling/url` for as long as it is served, and the file is locked that long: a process that is
killed leaves it behind, and another run's pages may soon be at that address.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import sys
import webbrowser
from pathlib import Path
from typing import IO


def listen_on(host: str, port: int) -> socket.socket:
    """A listening socket on `host`, on `port` or, where that is taken, on any. Raises OSError."""
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
    raise reason


def announce(path: Path, address: str) -> IO[str]:
    """Writes the address down, to hold until the file is closed, also by the end of this process."""
    part = path.with_name(f"url.{os.getpid()}")
    file = part.open("w", encoding="utf-8")
    file.write(address + "\n")
    file.flush()
    fcntl.flock(file, fcntl.LOCK_EX)
    part.replace(path)
    return file


def withdraw(path: Path, file: IO[str]) -> None:
    """Removes what `announce` wrote, unless another has announced theirs since."""
    with file, contextlib.suppress(OSError):
        if os.path.samestat(os.fstat(file.fileno()), path.stat()):
            path.unlink()


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


def is_listening(address: str) -> bool:
    """Whether anybody accepts connections on an address like http://127.0.0.1:8765/."""
    host, _, port = address.removeprefix("http://").rstrip("/").partition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=2.0):
            return True
    except (OSError, ValueError):
        return False


def open_page(address: str) -> None:
    """Show the pages to whoever sits at this machine. Where there is no screen nothing happens: a browser for the
    terminal would take it over."""
    if sys.platform == "darwin" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        webbrowser.open(address)
