"""Files that cannot be written, and what is said of them. Of one that a command writes where it is told to, the option
that names another:

with writing(out, "--out"):
    out.write_text(page)
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from actors.failures import Failure


class WritingError(Failure, RuntimeError):
    """A file cannot be written; the message says what to do."""


@contextmanager
def writing(path: Path, option: str) -> Generator[None]:
    """Raises WritingError where `path` cannot be written."""
    try:
        yield
    except OSError as error:
        raise WritingError(
            f"cannot write {path} ({error.strerror or error}); free some space or name another file with {option}"
        ) from error


@contextmanager
def written_at_last(write: Callable[[], None]) -> Generator[None]:
    """Calls `write` when the block ends. Where that ends with an error it is the one to be told, not what `write` fails
    with in turn: a full disk fails them all, and the first knows best what to do."""
    try:
        yield
    except BaseException:
        with suppress(OSError, WritingError):
            write()
        raise
    write()


def check_place(path: Path, option: str) -> None:
    """Make the folder of `path`, and see that it takes files: before the work whose result is to be written there."""
    with writing(path, option):
        path.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path.parent).close()
