"""What is asked of worlds that an agent acts in: a `Simulator` is B of them, an `Emulator` one that can also go on from
a moment that it kept."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np

from actors.failures import Failure

Array = np.ndarray


class EnvironmentFailure(Failure, RuntimeError):
    """An environment raised, or showed something that is not a number; or a process that stepped some has ended."""


class Simulator(Protocol):
    """B worlds that can be started, stepped and seen. Actions are in the environment's own units.

    observe: may be a view of what the next step overwrites.
    starts: [B, 2] int64, the seed of each world's latest start and the steps since; None where `states` draw it."""

    num_envs: int

    def reset(self, ids: Array) -> None: ...
    def observe(self) -> Array: ...
    def states(self) -> Array: ...
    def starts(self) -> Array | None: ...
    def step(self, actions: Array) -> Array: ...
    def close(self) -> None: ...


@runtime_checkable
class Emulator(Protocol):
    """What whoever notes a rollout asks of a Simulator besides, where its steps are come to again from kept moments.

    mark: keep the moment to which the next step leads. kept: [B, S] uint8 of this moment, if it was to be kept.
    begun: [B] int64, the frames of nothing after the start that led to this moment; -1 where it was a step.
    games: [G, 2] float64 of the games that ended in the latest step: which world, and what it scored."""

    def mark(self) -> None: ...
    def kept(self) -> Array | None: ...
    def begun(self) -> Array: ...
    def games(self) -> Array: ...
