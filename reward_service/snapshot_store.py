"""Where snapshots of the reward model are published: the newest one, and since when there was one that saw so much of
the log."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import redis

from reward_service.keys import START, load_script, text


class SnapshotStore:
    """Of one run; part of its ComparisonDatabase."""

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._redis: Any = client
        self._prefix = prefix
        self._put = load_script(client, Path(__file__).with_name("put_snapshot.lua"))

    def put(self, version: int, payload: bytes, cursor: str = START) -> bool:
        """Publishes a snapshot of the reward model, fitted to the log up to `cursor`; False, and nothing changed,
        unless it is newer than the last."""
        return self._put([self._prefix], [version, payload, cursor]) == 1

    def version(self) -> int:
        """Version of the newest snapshot; 0 when there is none. Cheap: ask before `get`."""
        return int(self._redis.hget(f"{self._prefix}snapshot", "version") or 0)

    def publications(self) -> list[tuple[str, float]]:
        """How far the log had been read, and the server's time, for each of the latest 256 snapshots that saw more of
        it than the one before; the oldest first."""
        lines = self._redis.lrange(f"{self._prefix}snapshots", 0, -1)
        told = [text(line).split(" ") for line in lines]  # version, cursor, seconds
        return [(cursor, float(at_s)) for _, cursor, at_s in told]

    def get(self) -> tuple[int, bytes] | None:
        """Version and bytes of the newest snapshot, None when there is none."""
        version, payload = self._redis.hmget(f"{self._prefix}snapshot", ["version", "payload"])
        return None if version is None else (int(version), bytes(payload))
