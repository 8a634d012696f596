"""RayPool: so many rollout workers in processes of Ray. What a dead or stuck one owed is asked of the one in its place.

Where there are to be as many as the cluster has room for, see `cluster.elastic_pool`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import ray

from actors.weights import PolicyWeights
from cluster.interfaces import Collected
from cluster.ray_member import Gathered, GoneError, Member
from cluster.supervise import Life


class RayPool:
    """One rollout in flight per worker; a dead worker is replaced and its rollout asked for again. A `RolloutPool`."""

    def __init__(self, start: Callable[[int, int], Any], lives: list[Life], remembered: int = 1) -> None:
        """`start(index, generation)` starts a worker's process; one for each life. `remembered`: how many of the latest
        rollouts of each worker `gathered` names, at most."""
        self._members = [Member(start, index, life) for index, life in enumerate(lives)]
        for member in self._members:
            member.begin(0)
        self._weights: Any = None
        self._generation = 0
        self.gathered = Gathered(remembered)

    @property
    def replaced(self) -> int:
        return sum(member.life.restarts for member in self._members)

    @property
    def size(self) -> int:
        return len(self._members)

    def lives(self) -> list[Life]:
        return [member.life for member in self._members]

    def submit(self, weights: PolicyWeights) -> None:
        self._weights = ray.put(weights)
        for member in self._members:
            member.ask(self._weights)

    def gather(self) -> Collected:
        collected = [self._collect(member) for member in self._members]
        self.gathered.add([member.call for member in self._members])
        return collected

    def _collect(self, member: Member) -> Any:
        """(Rollout, Hidden), however many processes it takes."""
        while True:
            try:
                return member.collect()
            except GoneError as gone:
                member.life.ended(str(gone))
                time.sleep(member.life.pause_s)
                member.begin(self._generation + 500 + self.replaced + 1)
                member.ask(self._weights)

    def restart(self, generation: int) -> None:
        self._generation = generation
        for member in self._members:
            member.restart(generation)
        self.gathered.clear()

    def close(self) -> None:
        """Nothing: Ray ends its processes with the driver's session."""
