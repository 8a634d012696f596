"""A run that outlives the terminal, as seen from one: `train --detach`, `attach`, `stop`. What it and its driver
(`cluster.job`) know of each other stands in the folder.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import psutil

from actors.failures import Failure
from cluster.job import claimed
from cluster.keeper import keeper_process
from cluster.progress import Progress
from cluster.run_folder import RunFolder
from cluster.run_status import read_status, run_process

LOG_NAME = "train.log"
_AT_WORK = ("running", "restarting")
STOP_TIMEOUT_S = 120.0
"""For a checkpoint on a slow disk, and the end of every process."""


class JobError(Failure, RuntimeError):
    """A run that should be at work is not, or does not stop; the message says what to do."""


def detach(folder: RunFolder, resume: bool, comparisons: Path | None = None) -> int:
    """Start the run in a session of its own, which no terminal ends, under a `cluster.keeper`; the keeper's process id,
    once the run has said that it is at work. What it prints goes to train.log. Raises JobError where it ended before
    that, or Ctrl-C came, which leaves it alone."""
    with claimed(folder):  # a second one is refused here, where somebody reads it
        pass
    arguments = [sys.executable, "-P", "-m", "cluster.keeper", str(folder.path.resolve())]
    arguments += ["--resume"] * resume + ([f"--comparisons={comparisons.resolve()}"] if comparisons else [])
    before = read_status(folder)["updated_at_s"]
    process_id = _spawn(arguments, folder.path / LOG_NAME)
    try:
        while (code := _exit_code(process_id)) is None:
            if read_status(folder)["updated_at_s"] != before:
                return process_id
            time.sleep(0.05)
    except KeyboardInterrupt:
        raise JobError(
            f"no longer waited for, but the run starts: see it with `twoclips status {folder.path}`, or end it with "
            f"`twoclips stop {folder.path}`"
        ) from None
    if code != 0:
        raise JobError(f"the run ended at its start, saying {_last_line(folder)!r}; all of it is in {LOG_NAME}")
    return process_id  # so short a run that it is over


def _spawn(arguments: list[str], log: Path) -> int:
    """A process in a session of its own. Not a Popen, which wants to be waited for: this one outlives us."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    actions = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)]
    actions += [(os.POSIX_SPAWN_OPEN, descriptor, str(log), flags, 0o600) for descriptor in (1, 2)]
    return os.posix_spawn(arguments[0], arguments, os.environ, file_actions=actions, setsid=True)


def _exit_code(process_id: int) -> int | None:
    """Of our child; None while it lives."""
    found, status = os.waitpid(process_id, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


def attach(folder: RunFolder) -> str:
    """Show the live progress of a run that is at work, until it ends; how it ended. Raises JobError where none is."""
    status = read_status(folder)
    if status["state"] not in _AT_WORK:
        raise JobError(
            f"the run in {folder.path} is not at work: {status['state']}; `twoclips status {folder.path}` says more"
        )
    with Progress(folder.config) as progress:
        while status["state"] in _AT_WORK:
            if status["metrics"]:
                progress(status["metrics"])
            time.sleep(0.25)
            status = read_status(folder)
    return f"the run is no longer at work: {status['state']}"


def stop(folder: RunFolder, timeout_s: float = STOP_TIMEOUT_S) -> str:
    """Have a run write a checkpoint and end, as Ctrl-C does; how to go on. Raises JobError where it is not at work
    here, does not end, or ends without that checkpoint."""
    keeper, driver = keeper_process(folder.path), run_process(folder)
    process = keeper or driver  # the keeper tells its driver, and ends with it
    if process is None:
        raise JobError(
            f"the run in {folder.path} is not at work on this machine ({read_status(folder)['state']}): there is "
            "nothing to stop"
        )
    process.terminate()
    try:
        process.wait(timeout_s)
    except psutil.TimeoutExpired:
        raise JobError(
            f"the run has not ended in {timeout_s:.0f} s: look into {folder.path / LOG_NAME}, and end it with "
            f"`kill -9 {(driver or process).pid}`; the newest checkpoint and every label stay"
        ) from None
    status = read_status(folder)
    if status["state"] == "finished":
        return "the run is finished"
    go_on = f"go on with `twoclips train {folder.config.task} --run {folder.path} --resume`"
    steps = status["metrics"].get("agent_steps") or 0
    saved = max((int(name.split("-")[1]) for name in status["checkpoints"]), default=0)
    if saved < steps:
        said = f", saying {_last_line(folder)!r}" if keeper else ""
        raise JobError(
            f"the run ended at {steps:,} agent steps{said}, and its newest checkpoint is of {saved:,}; {go_on}"
        )
    return f"stopped; {go_on}"


def _last_line(folder: RunFolder) -> str:
    lines = (folder.path / LOG_NAME).read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else "nothing"
