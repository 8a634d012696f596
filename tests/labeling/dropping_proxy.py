"""A proxy on a unix socket that can swallow a reply: what was asked is done, and who asked never hears of it."""

from __future__ import annotations

import contextlib
import socket
import threading
from pathlib import Path
from types import TracebackType


class DroppingProxy:
    """Forwards bytes between its own socket and the server's. `drop_next()` swallows the next reply and hangs up."""

    def __init__(self, path: Path, upstream: Path) -> None:
        self._path, self._upstream = path, upstream
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._drop = threading.Event()
        self.dropped = 0

    @property
    def url(self) -> str:
        return f"unix://{self._path}"

    def drop_next(self) -> None:
        self._drop.set()

    def __enter__(self) -> DroppingProxy:
        self._listening.bind(str(self._path))
        self._listening.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                server.connect(str(self._upstream))
            except OSError:  # the server is dead just now: so are we
                client.close()
                server.close()
                continue
            threading.Thread(target=self._pump, args=(client, server, False), daemon=True).start()
            threading.Thread(target=self._pump, args=(server, client, True), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, replies: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                if replies and self._drop.is_set():
                    self._drop.clear()
                    self.dropped += 1
                    break
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
