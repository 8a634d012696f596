"""What a run is doing, read from its folder alone: for `twoclips status`, whether the run lives or not."""

from __future__ import annotations

import json
import time
from typing import Any

import psutil

from cluster.keeper import keeper_process
from cluster.run_folder import RunFolder
from cluster.status import FILE_NAME

_STATES = {
    "running": "at work",
    "finished": "all its steps are done",
    "stopped": "ended before its last step; go on with `twoclips train TASK --run {run} --resume`",
    "died": "its process is gone without a word; go on with `twoclips train TASK --run {run} --resume`",
    "restarting": "its process is gone without a word, and is about to be started again",
    "unknown": "it has not said anything yet: it is starting, or never did; see events.log",
}
_ROWS = (
    ("agent steps", "agent_steps", ",.0f"),
    ("steps per second", "steps_per_second", ",.0f"),
    ("true return", "true_return", ",.1f"),
    ("predicted return", "predicted_return", ",.1f"),
    ("labels", "labels", ",.0f"),
    ("labels due", "labels_due", ",.0f"),
    ("queries without an answer", "queries_open", ",.0f"),
    ("age of those that wait, in reward versions", "query_age_versions", ",.1f"),
    ("queries withdrawn as stale", "queries_withdrawn", ",.0f"),
    ("queries refused, their clips dropped", "queries_refused", ",.0f"),
    ("clips dropped for newer ones", "clips_dropped", ",.0f"),
    ("clips refused, the store full", "clips_refused", ",.0f"),
    ("reward loss, held out", "validation_loss", ".3f"),
    ("reward accuracy, held out", "validation_accuracy", ".0%"),
    ("segment correlation", "segment_correlation", ".2f"),
    ("policy version", "policy_version", ",.0f"),
    ("reward version", "reward_version", ",.0f"),
    ("policy lag", "policy_lag", ".0f"),
    ("greatest policy lag", "policy_lag_max", ".0f"),
    ("rollout workers", "workers", ".0f"),
    ("rollout workers replaced", "workers_replaced", ".0f"),
    ("services restarted", "services_restarted", ".0f"),
)

_ONLY_IF_ANY = ("queries_refused", "clips_dropped", "clips_refused")
"""Zero of these is not worth a line."""


def read_status(folder: RunFolder) -> dict[str, Any]:
    """What `status --json` prints. `state` is one of _STATES; figures that the run has not given are missing."""
    found = _read(folder)
    process = _process(found)
    metrics = found.get("metrics") or {}
    steps = metrics.get("agent_steps") or 0
    if not found:
        state = "unknown"
    elif process is not None and found["state"] == "running":
        state = "running"
    elif steps >= folder.config.steps:
        state = "finished"
    else:
        state = "stopped" if found["state"] == "stopped" else "restarting" if keeper_process(folder.path) else "died"
    config = folder.config
    return {
        "run": str(folder.path),
        "task": config.task,
        "algorithm": config.algorithm,
        "labeler": config.labeler,
        "seed": config.seed,
        "steps": config.steps,
        "state": state,
        "process_id": process.pid if process and state == "running" else None,
        "updated_at_s": found.get("updated_at_s"),
        "memory_bytes": _memory_bytes(process) if process and state == "running" else None,
        "checkpoints": sorted(path.name for path in folder.checkpoints.glob("checkpoint-*.pt")),
        "metrics": metrics,
        "components": found.get("components") or [],
    }


def run_process(folder: RunFolder) -> psutil.Process | None:
    """The process that is at work on the run, if it is on this machine and lives."""
    found = _read(folder)
    return _process(found) if found.get("state") == "running" else None


def table_rows(status: dict[str, Any]) -> list[tuple[str, str]]:
    """The same for people: name and value of each line."""
    meaning = _STATES[status["state"]].format(run=status["run"]).replace("TASK", status["task"])
    rows = [
        ("run", status["run"]),
        ("state", f"{status['state']}: {meaning}"),
        ("task", f"{status['task']}, {status['algorithm']}, labeler {status['labeler']}, seed {status['seed']}"),
    ]
    if status["process_id"] is not None:
        rows.append(("process", str(status["process_id"])))
        rows.append(("memory, with all it started", f"{status['memory_bytes'] / 2**20:,.0f} MiB"))
    if status["updated_at_s"] is not None:
        rows.append(("last heard of", f"{max(0.0, time.time() - status['updated_at_s']):,.0f} s ago"))
    if status["state"] == "running":
        rows += [(component["name"], _component(component)) for component in status["components"]]
    metrics = status["metrics"]
    if "phase" in metrics:
        rows.append(("phase", str(metrics["phase"])))
    for title, name, form in _ROWS:
        value = metrics.get(name)
        if isinstance(value, int | float) and value == value and (value or name not in _ONLY_IF_ANY):
            text = format(value, form)
            rows.append((title, f"{text} of {status['steps']:,}" if name == "agent_steps" else text))
    rows.append(("checkpoints", f"{len(status['checkpoints'])}, the newest {status['checkpoints'][-1]}"
                 if status["checkpoints"] else "none yet"))  # fmt: skip
    return rows


def _component(row: dict[str, Any]) -> str:
    """Its state, and what happened to it."""
    text = row["state"] if row["state"] == "at work" else f"{row['state']}, {row['silent_s']:.0f} s without a sign"
    if memory := row.get("memory_bytes"):
        text += f", {memory / 2**20:,.0f} MiB"
    times = "once" if row["restarts"] == 1 else f"{row['restarts']} times"
    started = f"; started again {times}" if row["restarts"] else ""
    return f"{text}{started}{', the last time: ' if row['why'] and started else ': ' if row['why'] else ''}{row['why']}"


def _read(folder: RunFolder) -> dict[str, Any]:
    try:
        found = json.loads((folder.path / FILE_NAME).read_text(encoding="utf-8"))
        return found if isinstance(found, dict) and "state" in found else {}
    except (OSError, ValueError):
        return {}


def _process(found: dict[str, Any]) -> psutil.Process | None:
    """The run's process, if it still lives: a number alone may be somebody else's by now."""
    try:
        process = psutil.Process(found["process_id"])
        same = abs(process.create_time() - found["process_started_s"]) < 2.0
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except (psutil.Error, KeyError, TypeError, ValueError):
        return None


def _memory_bytes(process: psutil.Process) -> int:
    total = 0
    for each in [process, *process.children(recursive=True)]:
        try:
            total += each.memory_info().rss
        except psutil.Error:  # ended meanwhile
            continue
    return total
