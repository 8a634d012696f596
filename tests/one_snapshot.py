"""Where a reward model is published, in memory: for who reads one and has no run."""

from __future__ import annotations


class OneSnapshot:
    """A store's two calls. `newest`: version and bytes of what was published; `reads`: how often it was fetched."""

    def __init__(self, newest: tuple[int, bytes] | None = None) -> None:
        self.newest, self.reads = newest, 0

    def version(self) -> int:
        return self.newest[0] if self.newest else 0

    def get(self) -> tuple[int, bytes] | None:
        self.reads += 1
        return self.newest
