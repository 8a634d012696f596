"""How the agent of the demo moves: greedily after value iteration on the learned reward, with exploration."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from actors.small_world import MOVES, Grid
from actors.small_world_plan import action_values

Array = np.ndarray


class Policy(Protocol):
    """Moves about in one small world. The other implementation is the pipeline's own PPO (`cluster/demo_ppo.py`)."""

    @property
    def arrows(self) -> Array:
        """[C] int64: what it thinks best in each cell."""
        ...

    def act(self, cell: int) -> int: ...

    def saw(self, cell: int, action: int, next_cell: int, ended: bool) -> None:
        """What an action led to; with `ended` the episode is over there."""
        ...

    def learn(self, rewards: Array) -> None:
        """The learned rewards [C] are now these."""
        ...


class Planner:
    """Value iteration, and every so often (`exploration`) any move at all. Before the first reward it only explores:
    what it would plan on is chance."""

    def __init__(self, grid: Grid, exploration: float, seed: int) -> None:
        self._grid, self._exploration = grid, exploration
        self._random = np.random.default_rng((seed, 1))
        self._values = np.zeros((grid.num_cells, len(MOVES)))
        self._has_learned = False

    @property
    def arrows(self) -> Array:
        return self._values.argmax(axis=1)

    def act(self, cell: int) -> int:
        if not self._has_learned or self._random.random() < self._exploration:
            return int(self._random.integers(len(MOVES)))
        return int(self._values[cell].argmax())

    def saw(self, cell: int, action: int, next_cell: int, ended: bool) -> None:
        """Planning needs no experience: the world's moves are known to it."""

    def learn(self, rewards: Array) -> None:
        before = self._values.max(axis=1) if self._has_learned else None
        self._values = action_values(self._grid.next_cells, rewards, before)
        self._has_learned = True
