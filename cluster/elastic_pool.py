"""ElasticPool: as many rollout workers as the cluster has room for. Those whose node joins are used, those whose node
leaves are missed by nobody.

    pool = ElasticPool(start, life, room, steps=lambda workers: ...)
    pool.submit(weights)           # to whoever is there now
    collected = pool.gather()      # of whoever delivered

An update keeps its size as workers come and go: each is asked for its share of the steps. A worker that dies in
mid-rollout is not waited for, nor is one that gives no sign of life (its node may be cut off): the update goes on with
what the others gathered. The silent one is asked again once it has delivered what it owed, which is thrown away, since
it is of old weights; one that stays silent is ended. New ones are let in between two updates, when they are built.

While the learner waits for rollouts, one more worker than fits is asked for: an autoscaler takes that as demand, and
brings a node. Whoever has enough asks for nothing.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import count, islice
from typing import Any

import ray

from actors.weights import PolicyWeights
from cluster.interfaces import Collected
from cluster.ray_member import Gathered, GoneError, Member, SilentError, is_done
from cluster.supervise import ComponentFailure, Life, Tell

ROOM_EVERY_S = 2.0
"""How often the cluster is asked for its room, at most."""
PULSE_EVERY_S = 0.5
"""How often those that let us wait are felt for a pulse."""
SILENT_S = 3.0
"""After so long without a sign of life a worker is not waited for."""
TELL_AFTER_S = 20.0
"""How long nobody may be at work until that is told."""
SCARCE = 0.25
"""The share of its time that the learner waits, from which on rollouts are scarce."""


class ElasticPool:
    """A `RolloutPool`."""

    def __init__(
        self,
        start: Callable[[int, int], Any],
        life: Callable[[str], Life],
        room: Callable[[], int],
        steps: Callable[[int], int],
        tell: Tell,
        remembered: int = 1,
    ) -> None:
        """`start(index, generation)` starts a worker's process; `room()` says how many more the cluster has room for;
        `steps(workers)` how many steps of each make an update."""
        self._start, self._life, self._room, self._steps, self._tell = start, life, room, steps, tell
        self._members: dict[int, Member] = {}
        self._coming: set[int] = set()  # asked for, not yet built
        self._silent: set[int] = set()
        self._team: list[Member] = []
        self._lives: dict[int, Life] = {}  # of all there ever were
        self._not_before_s: dict[int, float] = {}
        self._weights: Any = None
        self._generation = 0
        self._has_built = False
        self._looked_s = -math.inf
        self._waiting = _Share()
        self.gathered = Gathered(remembered)

    @property
    def replaced(self) -> int:
        return sum(max(0, life.restarts) for life in self._lives.values())

    @property
    def size(self) -> int:
        return len(self._members) - len(self._coming)

    def lives(self) -> list[Life]:
        """Of those that are there: one that waits for room is not late."""
        members = list(self._members.items())  # another thread may ask
        return [member.life for index, member in members if index not in self._coming]

    def submit(self, weights: PolicyWeights) -> None:
        self._weights = ray.put(weights)
        self._call()

    def gather(self) -> Collected:
        """What the team delivered; not an empty list, however long that takes."""
        begin = time.monotonic()
        while not (collected := self._collect()):
            self._call()
        self._waiting.add(time.monotonic() - begin)
        return collected

    def restart(self, generation: int) -> None:
        """Those that are silent hear of it when they are back, which they are once they have built."""
        self._generation = generation
        for index, member in self._members.items():
            member.restart(generation)
            if index in self._silent:
                member.call = member.rebuilt
        self.gathered.clear()

    def close(self) -> None:
        """Nothing: Ray ends its processes with the driver's session."""

    def _call(self) -> None:
        """Ask everybody who is there for a share of the next update. Waits until somebody is."""
        tell_at_s = time.monotonic() + TELL_AFTER_S
        while True:
            self._look()
            absent = self._coming | self._silent
            self._team = [member for index, member in self._members.items() if index not in absent]
            if self._team:
                break
            if time.monotonic() > tell_at_s:
                tell_at_s = math.inf
                self._tell(
                    "rollout workers",
                    "no rollout worker is at work: Ray is starting one, or no core is free; see `ray status`",
                )
            time.sleep(0.1)
        steps = self._steps(len(self._team))
        for member in self._team:
            member.ask(self._weights, steps)

    def _collect(self) -> Collected:
        late = self._late()
        collected: Collected = []
        calls: list[Any] = []
        for member in self._team:
            try:
                if member.call in late:
                    raise SilentError
                collected.append(member.collect(SILENT_S))
                calls.append(member.call)
            except SilentError:
                self._silent.add(member.index)
                self._tell(member.life.name, f"the {member.life.name} gives no sign of life: the others go on")
            except GoneError as gone:
                self._drop(member, str(gone))
        if collected:
            self.gathered.add(calls)
        return collected

    def _late(self) -> set[Any]:
        """Waits until all calls are done, but for those of workers that give no sign of life, which are returned."""
        pending = {member.call: member for member in self._team}
        for member in self._team:
            member.life.attend()
        while pending:
            done, _ = ray.wait(list(pending), num_returns=len(pending), timeout=PULSE_EVERY_S)
            for call in done:
                del pending[call]
            for member in pending.values():
                with suppress(GoneError):  # its call will say so, too
                    member.feel()
            if all(member.life.is_silent(SILENT_S) for member in pending.values()):
                break
        return set(pending)

    def _look(self) -> None:
        """Who is built, who is back, who is gone; and whether there is room for more."""
        for index in list(self._silent):
            self._feel_silent(self._members[index])
        if time.monotonic() - self._looked_s < (ROOM_EVERY_S if self.size else PULSE_EVERY_S):
            return
        self._looked_s = time.monotonic()
        for index in list(self._coming):
            self._feel_coming(self._members[index])
        wanted = self._room() - len(self._coming)
        if not self._members or (self._waiting.share > SCARCE and not self._coming):
            wanted = max(wanted, 1)
        free = (index for index in count() if index not in self._members)
        for index in list(islice(free, max(wanted, 0))):
            if time.monotonic() >= self._not_before_s.get(index, 0.0):
                self._begin(index)

    def _begin(self, index: int) -> None:
        life = self._lives.setdefault(index, self._life(f"rollout worker {index}"))
        before = life.restarts + 1  # a seed of its own for each process of one number
        self._members[index] = Member(self._start, index, life)
        self._members[index].begin(self._generation + (500 + before if before else 0))
        self._coming.add(index)

    def _feel_coming(self, member: Member) -> None:
        try:
            member.feel()
        except ComponentFailure as error:
            if not self._has_built:
                raise
            self._drop(member, str(error))  # others can be built: it is its node that lacks something
        except GoneError as gone:
            self._drop(member, str(gone))
        if member.is_up and member.rebuilt is None:
            self._has_built = True
            self._coming.discard(member.index)
            count = f"{self.size} rollout workers are" if self.size > 1 else "a rollout worker is"
            self._tell(member.life.name, f"{count} at work")

    def _feel_silent(self, member: Member) -> None:
        try:
            member.feel()
            if member.call is not None and is_done(member.call):
                member.collect()  # of old weights: nobody wants it; or nothing, since it built its environments anew
                self._silent.discard(member.index)
            else:
                member.end_if_stuck()
        except GoneError as gone:
            self._drop(member, str(gone))

    def _drop(self, member: Member, why: str) -> None:
        """It is gone: another takes its number when there is room."""
        del self._members[member.index]
        self._coming.discard(member.index)
        self._silent.discard(member.index)
        member.life.ended(why, "has left, and is replaced where there is room", is_needed=not self.size)
        self._not_before_s[member.index] = time.monotonic() + member.life.pause_s
        self._looked_s = -math.inf


class _Share:
    """The share of time that was spent waiting, over the last few rounds."""

    def __init__(self) -> None:
        self.share = 0.0
        self._last_s = time.monotonic()

    def add(self, waited_s: float) -> None:
        """Once a round."""
        now_s = time.monotonic()
        self.share += 0.1 * (waited_s / max(now_s - self._last_s, 1e-9) - self.share)
        self._last_s = now_s
