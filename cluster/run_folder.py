"""A run is a folder: config.toml, run_id, metrics.jsonl, status.json, events.log, events.jsonl, checkpoints/, redis/,
charts/, report.html, tensorboard/.

Everything in it can be read without twoclips.
"""

from __future__ import annotations

import json
import math
import re
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from actors.failures import UsageError
from cluster.config import RunConfig, flat_config, load_config, save_config
from cluster.writing import WritingError

_VERSIONS = ("agent_steps", "policy_version", "reward_version")
"""What an event is stamped with: the latest figures of metrics.jsonl."""


class RunFolderError(UsageError, RuntimeError):
    """The folder cannot be used as asked."""


class RunFolder:
    """Paths of one run, and its logs. Made with `create`, found again with `open`."""

    def __init__(self, path: Path, config: RunConfig) -> None:
        self.path, self.config = path, config
        self.checkpoints = path / "checkpoints"
        self.metrics_path = path / "metrics.jsonl"
        self.events_path = path / "events.log"
        self.report_path = path / "report.html"
        self._versions = _versions({})

    @classmethod
    def create(cls, path: Path, config: RunConfig) -> RunFolder:
        """A new folder. Raises RunFolderError where a run is there already, or where nothing can be written."""
        if (path / "config.toml").exists():
            raise RunFolderError(
                f"there is a run in {path} already; continue it with --resume, or name another folder with --run"
            )
        try:
            (path / "checkpoints").mkdir(parents=True, exist_ok=True)
            save_config(config, path / "config.toml")
        except OSError as error:
            raise RunFolderError(
                f"cannot write the run folder {path} ({error.strerror}); name another with --run"
            ) from error
        return cls(path, config)

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """An existing run. Raises RunFolderError where the folder holds none."""
        if not (path / "config.toml").exists():
            raise RunFolderError(
                f"{path} holds no run (it has no config.toml); `ls runs` shows the runs in this folder"
            )
        return cls(path, load_config(path / "config.toml"))

    def change(self, config: RunConfig) -> list[str]:
        """Another config, for a run that goes on (`change_config`); what changed, in words."""
        before, after = flat_config(self.config), flat_config(config)
        names = [name for name in before | after if before.get(name) != after.get(name)]
        changes = [f"{name} from {before.get(name)} to {after.get(name)}" for name in names]
        self.config = config
        if changes:
            save_config(config, self.path / "config.toml")
            self.log_event("changed: " + ", ".join(changes))
        return changes

    @property
    def name(self) -> str:
        """What people call the run: the folder's name."""
        return self.path.resolve().name

    @property
    def run_id(self) -> str:
        """Name of the run in Redis."""
        return run_identity(self.path)

    def append_metrics(self, metrics: dict[str, Any]) -> None:
        """One line of metrics.jsonl. What is not a number is written as null, as JSON wants it."""
        append(self.metrics_path, _line(json.dumps(as_json(metrics))))
        self._versions = _versions(metrics)

    def log_event(self, text: str, component: str = "run") -> None:
        """One dated line of events.log, for people. For whoever collects logs the same in events.jsonl, as JSON, with
        the run, the component that it is about, and how far the run was."""
        now = datetime.now().astimezone()
        append(self.events_path, _line(f"{now:%Y-%m-%dT%H:%M:%S} {text}"))
        event = {"time": now.isoformat(timespec="milliseconds"), "run": self.run_id, "component": component}
        append(self.path / "events.jsonl", _line(json.dumps({**event, "event": text, **self._versions})))

    def read_metrics(self) -> list[dict[str, Any]]:
        """All lines of metrics.jsonl, a torn last one left out."""
        return list(self._rows())

    def cut_metrics(self, agent_steps: int) -> None:
        """Forget metrics beyond a checkpoint that the run goes on from."""
        whole, last = self.metrics_path.with_suffix(".tmp"), {}
        with whole.open("wb") as file:
            for row in self._rows():
                if row["agent_steps"] <= agent_steps:
                    file.write(_line(json.dumps(row)))
                    last = row
        whole.replace(self.metrics_path)  # a full disk costs none of them
        self._versions = _versions(last)

    def _rows(self) -> Iterator[dict[str, Any]]:
        if not self.metrics_path.exists():
            return
        with self.metrics_path.open("rb") as file:
            for line in file:
                with suppress(ValueError):
                    yield json.loads(line)


def as_json(metrics: dict[str, Any]) -> dict[str, Any]:
    """Metrics with None for what is not a number: JSON has no NaN."""
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in metrics.items()}


def run_identity(path: Path) -> str:
    """The run's name in Redis, made once and kept in the file run_id: folders of one name may share a server, and a
    folder that is renamed keeps its labels."""
    file = path / "run_id"
    if file.exists():
        return file.read_text().strip()
    name = re.sub(r"[^A-Za-z0-9_.-]", "-", path.resolve().name)[:64]
    identity = f"{name}-{uuid.uuid4().hex[:8]}"
    try:
        path.mkdir(parents=True, exist_ok=True)
        file.write_text(identity + "\n")
    except OSError as error:
        raise RunFolderError(
            f"cannot write the run folder {path} ({error.strerror}); name another with --run"
        ) from error
    return identity


def default_folder(task: str, seed: int) -> Path:
    """runs/<task>-s<seed>-<time>: unique enough to start two runs a second apart."""
    stem = Path("runs") / f"{task.replace('/', '-').replace(':', '-')}-s{seed}-{time.strftime('%m%d-%H%M%S')}"
    path, count = stem, 1
    while path.exists():
        count += 1
        path = stem.with_name(f"{stem.name}-{count}")
    return path


def _versions(metrics: dict[str, Any]) -> dict[str, Any]:
    return {name: metrics.get(name) for name in _VERSIONS}


def _line(text: str) -> bytes:
    return (text + "\n").encode()


def append(path: Path, data: bytes) -> None:
    """Add to a file of a run's folder. Raises WritingError."""
    try:
        with path.open("ab") as file:
            file.write(data)
    except OSError as error:
        raise WritingError(
            f"cannot write {path} ({error.strerror}); free some space, then continue with --resume"
        ) from error
