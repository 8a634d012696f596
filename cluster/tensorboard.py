"""EventFiles: a run's figures as TensorBoard reads them, in the run's folder.

    tensorboard --logdir runs

Names are those of metrics.jsonl, in the groups of FIGURES; the step is the agent step. Nothing is read from here: the
run's own account is metrics.jsonl.
"""

from __future__ import annotations

import math
import socket
import struct
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from cluster.run_folder import append

FIGURES = {
    "returns": ("true_return", "predicted_return", "segment_correlation", "episodes"),
    "policy": ("policy_loss", "value_loss", "explained_variance", "entropy", "kl", "clipped", "learning_rate"),
    "reward_model": (
        *("train_loss", "validation_loss", "train_accuracy", "validation_accuracy", "l2"),
        *("gradient_steps", "gradient_steps_per_label", "reward_version"),
    ),
    "labels": (
        *("labels", "labels_due", "num_labels", "num_incomparable", "queries_open", "query_age_versions"),
        *("disagreement_asked", "disagreement_unasked", "queries_refused", "clips_dropped", "clips_refused"),
    ),
    "system": (
        *("steps_per_second", "environment_steps", "policy_lag", "policy_version", "workers", "workers_replaced"),
        *("services_restarted", "redis_failures", "gather_wait_s", "relabel_s", "learn_s", "wall_s"),
    ),
}
"""Which figures are drawn, by the group in whose section they stand; others are in metrics.jsonl only."""

EVERY_S = 2.0
"""Between two rows: of a run with many short updates nobody could tell more of them apart, and each has its size."""


class EventFiles:
    """`add` each update's metrics; the first begins a new file. After `go_on_from` what an earlier part of the run
    wrote of later steps is not shown any more. What cannot be written is a WritingError, as in all of the folder.

    Why not tensorboardX's SummaryWriter? It writes on a thread behind a short queue, and where the disk is full the
    thread ends and the run waits for ever. Its messages are used, and put into the file here."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path, self._clock = path, clock
        self._resumed_at: int | None = None
        self._file: Path | None = None
        self._written_s = -math.inf
        self._unwritten: dict[str, Any] = {}

    def go_on_from(self, agent_steps: int) -> None:
        """The run was resumed at this step."""
        self._resumed_at = agent_steps

    def watch(self, show: Callable[[dict[str, Any]], None]) -> Callable[[dict[str, Any]], None]:
        """A callback that adds metrics here and passes them on to `show`. Before the first update there are no steps
        for them to stand at: such a row is only passed on."""

        def record(metrics: dict[str, Any]) -> None:
            if "agent_steps" in metrics:
                self.add(metrics)
            show(metrics)

        return record

    def add(self, metrics: dict[str, Any]) -> None:
        self._unwritten = metrics
        if self._clock() - self._written_s >= EVERY_S:
            self._written_s = self._clock()
            self.flush()

    def flush(self) -> None:
        """Write the last row, if it is not: at a run's end it is what the run has come to."""
        metrics, self._unwritten = self._unwritten, {}
        if not metrics:
            return
        # Here, not above: it takes a while, for which no rollout is to wait.
        event: Any = import_module("tensorboardX.proto.event_pb2")
        summary: Any = import_module("tensorboardX.proto.summary_pb2").Summary
        events: list[Any] = []
        if self._file is None:
            self._file = self._path / f"events.out.tfevents.{time.time():.0f}.{socket.gethostname()}"
            events.append(event.Event(wall_time=time.time(), file_version="brain.Event:2"))
            if self._resumed_at is not None:
                begin = event.SessionLog(status=event.SessionLog.START)  # takes back this step and those after it
                events.append(event.Event(wall_time=time.time(), step=self._resumed_at + 1, session_log=begin))
        values = [
            summary.Value(tag=f"{group}/{name}", simple_value=metrics[name])
            for group, names in FIGURES.items()
            for name in names
            if metrics.get(name) is not None and math.isfinite(metrics[name])
        ]
        now = time.time()
        events.append(event.Event(wall_time=now, step=metrics["agent_steps"], summary=summary(value=values)))
        self._path.mkdir(exist_ok=True)
        append(self._file, b"".join(_record(each.SerializeToString()) for each in events))


def _record(data: bytes) -> bytes:
    """One record of TensorFlow's format: length and content, each with a masked checksum behind it."""
    from tensorboardX.record_writer import masked_crc32c

    length = struct.pack("<Q", len(data))
    checksums = (struct.pack("<I", masked_crc32c(part)) for part in (length, data))
    return length + next(checksums) + data + next(checksums)
