"""Files that a command writes where it is told to. What is in the way is told with the option that names another:

with writing(out, "--out"):
    out.write_text(page)
"""

from __future__ import annotations

import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


class WritingError(RuntimeError):
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


def check_place(path: Path, option: str) -> None:
    """Make the folder of `path`, and see that it takes files: before the work whose result is to be written there."""
    with writing(path, option):
        path.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path.parent).close()
