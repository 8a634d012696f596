"""How a test waits: until something holds, and not for ever."""

from __future__ import annotations

import time
from collections.abc import Callable


def wait_until(
    holds: Callable[[], bool], timeout_s: float = 180.0, what: str = "what should be so", every_s: float = 0.1
) -> float:
    """Seconds that it took. Raises AssertionError when it does not come to hold."""
    begin_s = time.monotonic()
    while not holds():
        assert time.monotonic() - begin_s < timeout_s, f"waited {timeout_s:.0f} s for {what}"
        time.sleep(every_s)
    return time.monotonic() - begin_s
