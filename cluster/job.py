"""One run from its folder to its report, in this process or in one that outlives the terminal: `train`, `train
--detach`, `attach`, `stop`. What the two sides know of each other stands in the folder.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import psutil

from actors.failures import Failure
from cluster.cli_parts import plain_errors
from cluster.errors import exit_code, sentence
from cluster.interrupts import STOPPED_EARLY, terminated_like_interrupted
from cluster.keeper import keeper_process
from cluster.progress import Progress
from cluster.run_folder import RunFolder, RunFolderError
from cluster.run_status import read_status, run_process
from cluster.runner import Interrupted, run_training
from cluster.writing import WritingError

LOG_NAME = "train.log"
_AT_WORK = ("running", "restarting")
STOP_TIMEOUT_S = 120.0
"""For a checkpoint on a slow disk, and the end of every process."""


class JobError(Failure, RuntimeError):
    """A run that should be at work is not, or does not stop; the message says what to do."""


def run_job(folder: RunFolder, resume: bool, comparisons: Path | None = None) -> tuple[dict[str, Any], Path]:
    """Train to the end: the summary, and the report's path. Raises RunFolderError where the run is at work already, and
    Interrupted after Ctrl-C or SIGTERM, or KeyboardInterrupt where that came before training."""
    progress = Progress(folder.config)
    is_saved = False
    try:
        with (
            terminated_like_interrupted(),
            claimed(folder),
            _failure_logged(folder),
            _stored(folder, progress.say) as store,
        ):

            def saved() -> None:
                nonlocal is_saved
                is_saved = True
                store()

            with progress:
                summary = run_training(folder, resume, progress, progress.say, comparisons, saved)
            from cluster.report import write_report  # here, not above: it brings matplotlib, which no run waits for

            return summary, write_report([folder])
    except KeyboardInterrupt:  # a second one, or one while the report is drawn or stored
        if not is_saved:
            raise
        raise Interrupted(
            f"stopped; what was learned is saved in {folder.path}, and `twoclips train {folder.config.task} --run "
            f"{folder.path} --resume` goes on from there"
        ) from None


@contextlib.contextmanager
def claimed(folder: RunFolder) -> Generator[None]:
    """Nobody else runs this folder meanwhile, on this machine. The claim ends with the process, however that ends."""
    descriptor = os.open(folder.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunFolderError(
                f"the run in {folder.path} is at work already: see it with `twoclips attach {folder.path}`, or end it "
                f"with `twoclips stop {folder.path}`"
            ) from None
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _failure_logged(folder: RunFolder) -> Generator[None]:
    """Why a run failed stands in its events.log, too: who looks later has no terminal to look at."""
    try:
        yield
    except Exception as error:
        if exit_code(error) is not None and not isinstance(error, Interrupted):
            with contextlib.suppress(OSError, WritingError):  # of a full disk the first failure tells
                folder.log_event(sentence(error))
        raise


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
            f"the run in {folder.path} is not at work (it {_ended(status)}); `twoclips status {folder.path}` says more"
        )
    with Progress(folder.config) as progress:
        while status["state"] in _AT_WORK:
            if status["metrics"]:
                progress(status["metrics"])
            time.sleep(0.25)
            status = read_status(folder)
    return f"the run {_ended(status)}"


def stop(folder: RunFolder, timeout_s: float = STOP_TIMEOUT_S) -> str:
    """Have a run write a checkpoint and end, as Ctrl-C does; how to go on. Raises JobError where it is not at work
    here, does not end, or ends without that checkpoint."""
    keeper, driver = keeper_process(folder.path), run_process(folder)
    process = keeper or driver  # the keeper tells its driver, and ends with it
    if process is None:
        raise JobError(
            f"the run in {folder.path} is not at work on this machine (it {_ended(read_status(folder))}): there is "
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


def _ended(status: dict[str, Any]) -> str:
    return {
        "finished": "is finished",
        "stopped": "was stopped",
        "died": "died without a word",
        "unknown": "has not begun",
        "running": "is at work",
        "restarting": "is about to be started again",
    }[status["state"]]


def _last_line(folder: RunFolder) -> str:
    lines = (folder.path / LOG_NAME).read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else "nothing"


def _stored(folder: RunFolder, say: Callable[[str], None]) -> AbstractContextManager[Callable[[], None]]:
    """Keeps the folder where the run's `store` says; gives what is to be called when there is something new."""
    if not folder.config.store:
        return nullcontext(lambda: None)
    from cluster.store import mirrored  # here, not above: it brings pyarrow

    if folder.config.uses_labels and not folder.config.redis:
        say("warning: labels are not stored, since they are in a private Redis on this machine; --redis names another")
    return mirrored(folder.config.store, folder, say)


def main(arguments: list[str]) -> int:
    """The driver of a detached run: FOLDER [--resume] [--comparisons=FILE]."""
    folder = RunFolder.open(Path(arguments[0]))
    files = [Path(argument.partition("=")[2]) for argument in arguments if argument.startswith("--comparisons=")]
    with plain_errors(STOPPED_EARLY):
        run_job(folder, "--resume" in arguments, files[0] if files else None)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
