"""A proxy on a unix socket that harms what passes through it: replies that are swallowed after what was asked was done,
replies that come late, connections that are cut. Harm is done to one client, known by its process, or to all."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from pathlib import Path
from types import TracebackType


class FaultyProxy:
    """Forwards bytes between its own socket and the server's. Where a method takes `client`, the process id of whose
    connections are harmed, None means everybody's."""

    def __init__(self, path: Path, upstream: Path) -> None:
        self._path, self._upstream = path, upstream
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._lock = threading.Lock()
        self._open: dict[socket.socket, int] = {}  # the client's side of each connection: who it is
        self._drop: list[int | None] = []
        self._late: dict[int | None, float] = {}
        self.dropped = 0

    @property
    def url(self) -> str:
        return f"unix://{self._path}"

    def drop_next(self, client: int | None = None) -> None:
        """Swallow the next reply and hang up."""
        with self._lock:
            self._drop.append(client)

    def delay(self, seconds: float, client: int | None = None) -> None:
        """Let every reply wait so long, until told otherwise."""
        self._late[client] = seconds

    def reset(self, client: int | None = None) -> int:
        """Hang up on every connection, whatever is on its way; how many those were."""
        with self._lock:
            harmed = [end for end, who in self._open.items() if client in (None, who)]
        for end in harmed:
            _hang_up(end)
        return len(harmed)

    def __enter__(self) -> FaultyProxy:
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
            with self._lock:
                self._open[client] = who = _process_of(client)
            threading.Thread(target=self._ask, args=(client, server), daemon=True).start()
            threading.Thread(target=self._reply, args=(server, client, who), daemon=True).start()

    def _ask(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(1 << 16):
                server.sendall(data)
        self._close(client, server)

    def _reply(self, server: socket.socket, client: socket.socket, who: int) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(1 << 16):
                if self._is_dropped(who):
                    break
                if late_s := self._late.get(who) or self._late.get(None):
                    time.sleep(late_s)
                client.sendall(data)
        self._close(client, server)

    def _is_dropped(self, who: int) -> bool:
        with self._lock:
            for wanted in self._drop:
                if wanted in (None, who):
                    self._drop.remove(wanted)
                    self.dropped += 1
                    return True
            return False

    def _close(self, client: socket.socket, server: socket.socket) -> None:
        with self._lock:
            self._open.pop(client, None)
        for end in (client, server):
            _hang_up(end)
            end.close()


def _process_of(client: socket.socket) -> int:
    """The process that connected, as the kernel says (Linux)."""
    return struct.unpack("3i", client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]


def _hang_up(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
