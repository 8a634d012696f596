"""Ctrl-C and SIGTERM: both stop a run in the same way, and neither in the middle of what must be whole.

Only a main thread hears them; elsewhere nothing is changed.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType

STOPPED_EARLY = (
    "stopped before anything new was saved; start again with the same command, with --resume if the run's folder is "
    "there"
)
"""Said until a run's first checkpoint; see `run_job` for what is said later."""

_STOPPING = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def terminated_like_interrupted() -> Generator[None]:
    """SIGTERM, which cluster managers send, raises KeyboardInterrupt as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def handlers_kept() -> Generator[None]:
    """Around a library that puts handlers of its own in their place, as Ray does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = [(number, signal.getsignal(number)) for number in _STOPPING]
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)


@contextmanager
def undisturbed() -> Generator[None]:
    """What is done here is done to its end; a signal that came meanwhile is heard then. A policy between two steps of
    an update is no policy of any version, and half a checkpoint is none."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        del frame
        heard.append(number)

    before = [(number, signal.getsignal(number)) for number in _STOPPING]
    for number in _STOPPING:
        signal.signal(number, note)
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)
    for number in heard[:1]:  # however often somebody asked
        signal.raise_signal(number)
