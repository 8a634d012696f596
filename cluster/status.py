"""What a run is doing now: status.json beside its metrics, which anyone may read without Redis or Ray; and the same in
Redis, for the labeling pages, which may run where the folder is not.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable
from typing import Any

import psutil
import redis

from cluster.config import RunConfig
from cluster.redis_care import RedisCare
from cluster.run_folder import RunFolder, as_json
from labeling.history import History
from labeling.progress import RUN_STATUS
from reward_service.database import ComparisonDatabase

FILE_NAME = "status.json"


class StatusFile:
    """Rewrites status.json at most once a second and at the end, whole or not at all, and tells `tell` the same."""

    EVERY_S = 1.0

    def __init__(self, folder: RunFolder, tell: Callable[[dict[str, Any]], None] | None = None) -> None:
        self._tell = tell
        self._path = folder.path / FILE_NAME
        self._written_s = 0.0
        self._latest: dict[str, Any] = {}
        self.components: Callable[[], list[dict[str, Any]]] = list
        """What is known of each part of the run that has a process of its own: see supervise.component_row."""

    def watch(self, show: Callable[[dict[str, Any]], None]) -> Callable[[dict[str, Any]], None]:
        """A callback that records metrics here and passes them on to `show`."""

        def record(metrics: dict[str, Any]) -> None:
            self._latest = metrics
            if time.monotonic() - self._written_s >= self.EVERY_S:
                self._write("running")
            show(metrics)

        return record

    def latest(self) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """The latest metrics, and what is known of the components now."""
        parts = self.components()
        return self._latest, [{**part, "memory_bytes": _memory_bytes(part["process_id"])} for part in parts]

    def close(self, last: dict[str, Any]) -> None:
        """The run has come to an end, with these figures: those of its last update, or of the checkpoint that it went
        on from. Without any what it told last stands."""
        self._latest = last or self._latest
        self._write("stopped")

    def _write(self, state: str) -> None:
        self._written_s = time.monotonic()
        status: dict[str, Any] = {
            "state": state,
            "process_id": os.getpid(),
            "process_started_s": psutil.Process().create_time(),
            "updated_at_s": time.time(),
            "metrics": as_json(self._latest),
            "components": self.latest()[1],
        }
        temporary = self._path.with_suffix(".tmp")
        temporary.write_text(json.dumps(status))
        temporary.replace(self._path)
        if self._latest and self._tell is not None:
            self._tell(status["metrics"])


def _memory_bytes(process_id: int | None) -> int | None:
    """Of a process of this machine; None where it is gone or nobody knows it."""
    try:
        return psutil.Process(process_id).memory_info().rss if process_id else None
    except psutil.Error:
        return None


class StatusBoard:
    """Tells the labeling pages of a run how it is doing, and its history. A Redis that does not answer is told later:
    the run would wait for it at every update."""

    def __init__(self, database: ComparisonDatabase, config: RunConfig, care: RedisCare) -> None:
        self._database, self._care = database, care
        self._history = History(database.client, database.run_id)
        self._always = {"labels_wanted": config.labels, "steps": config.steps, "phase": None}

    def __call__(self, metrics: dict[str, Any]) -> None:
        if not self._care.is_well:
            return
        with contextlib.suppress(redis.ConnectionError, redis.TimeoutError):
            self._database.set_status(RUN_STATUS, {**self._always, **metrics})
            self._history.record(metrics)
