"""status.json: what a run is doing now, written beside its metrics so that anyone may read it without Redis or Ray."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from typing import Any

import psutil

from cluster.run_folder import RunFolder, as_json

FILE_NAME = "status.json"


class StatusFile:
    """Rewrites status.json at most once a second, whole or not at all."""

    EVERY_S = 1.0

    def __init__(self, folder: RunFolder) -> None:
        self._path = folder.path / FILE_NAME
        self._written_s = 0.0
        self._latest: dict[str, Any] = {}

    def watch(self, show: Callable[[dict[str, Any]], None]) -> Callable[[dict[str, Any]], None]:
        """A callback that records metrics here and passes them on to `show`."""

        def record(metrics: dict[str, Any]) -> None:
            self._latest = metrics
            if time.monotonic() - self._written_s >= self.EVERY_S:
                self._write("running")
            show(metrics)

        return record

    def close(self) -> None:
        self._write("stopped")

    def _write(self, state: str) -> None:
        self._written_s = time.monotonic()
        process = psutil.Process()
        status = {
            "state": state,
            "process_id": os.getpid(),
            "process_started_s": process.create_time(),
            "updated_at_s": time.time(),
            "memory_bytes": process.memory_info().rss,
            "metrics": as_json(self._latest),
        }
        temporary = self._path.with_suffix(".tmp")
        temporary.write_text(json.dumps(status))
        temporary.replace(self._path)
