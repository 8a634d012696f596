"""One run from its folder to its report, in the process of `train`, or in one that outlives the terminal
(`cluster.detached`).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from cluster.cli_parts import plain_errors
from cluster.errors import exit_code, sentence
from cluster.interrupts import STOPPED_EARLY, terminated_like_interrupted
from cluster.progress import Progress
from cluster.run_folder import RunFolder, RunFolderError
from cluster.runner import Interrupted, run_training
from cluster.writing import WritingError


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
    files = [Path(argument.partition("=")[2]) for argument in arguments if argument.startswith("--comparisons=")]
    with plain_errors(STOPPED_EARLY):
        run_job(RunFolder.open(Path(arguments[0])), "--resume" in arguments, files[0] if files else None)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
