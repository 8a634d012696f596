"""History: the run's figures against agent steps, from its start, in a bounded number of points. In Redis, so that any
server can draw the curve. Keys, beside those at the top of reward_service/database.py:

    history           list     "<agent steps> <JSON of the figures>", in order
    history:spacing   string   agent steps between two points, at least; it grows when there are too many
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import redis

from reward_service.keys import load_script, run_prefix, text

FIGURES = ("true_return", "predicted_return", "labels", "validation_accuracy", "segment_correlation")
"""What is kept of a run's metrics; see training.py and the reward trainer for what they are."""

MAX_POINTS = 400


class History:
    """Of one run."""

    def __init__(self, client: redis.Redis, run_id: str) -> None:
        self._redis: Any = client
        self._prefix = run_prefix(run_id)
        self._record = load_script(client, Path(__file__).with_name("record.lua"))

    def record(self, metrics: dict[str, Any]) -> None:
        """Adds a point, at the metrics' `agent_steps`; before there are any there is nothing to add. What was recorded
        further on is taken back: a run that goes on from a checkpoint learns that part anew."""
        at = metrics.get("agent_steps")
        if at is None:
            return
        point = {name: metrics[name] for name in FIGURES if metrics.get(name) is not None}
        self._record([self._prefix], [int(at), json.dumps(point), MAX_POINTS])

    def columns(self) -> dict[str, list[float | None]]:
        """`agent_steps` and each of the figures, all equally long; None where a figure was not known."""
        columns: dict[str, list[float | None]] = {name: [] for name in ("agent_steps", *FIGURES)}
        for line in self._redis.lrange(f"{self._prefix}history", 0, -1):
            at, _, body = text(line).partition(" ")
            point = {"agent_steps": int(at), **json.loads(body)}
            for name, column in columns.items():
                column.append(point.get(name))
        return columns
