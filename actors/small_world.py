"""The small world: a square grid with a hidden goal, small enough to see all that is learned.

    world = gymnasium.make("actors.small_world:SmallWorld-v0", size=7, goal=(6, 0))

An agent that starts at `home` moves up, right, down or left, or stays; a wall holds it where it is. It sees its cell,
as one-hot numbers. The hidden reward of a step is that of the cell in which it acts: 1 at the goal, 0 in the farthest
cell, and in between as the distance in moves. Nothing ends; the clock of whoever acts cuts episodes.

`Grid` is the geometry, which planning and drawing share; cells are numbered row by row from the top left.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import gymnasium
import numpy as np

from actors.failures import UsageError

Array = np.ndarray

ENVIRONMENT_ID = "actors.small_world:SmallWorld-v0"
"""For gymnasium, which imports this module for it."""
MOVES = {"up": (-1, 0), "right": (0, 1), "down": (1, 0), "left": (0, -1), "stay": (0, 0)}
"""Actions in their order, as (rows, columns)."""
INSTRUCTION = "The path that ends nearer the goal is better; of two that end alike, the one that was nearer before."
HORIZON = 20
LARGEST = 12
_CELL_PX = 48
_COLOURS = {"cell": (246, 243, 236), "line": (205, 199, 186), "goal": (29, 122, 74), "agent": (42, 89, 207)}


class SmallWorldError(UsageError, ValueError):
    """There is no such small world."""


@dataclass(frozen=True)
class Grid:
    """`size` x `size` cells. goal, home: (row, column); by default one in from the lower right, and the upper left.
    Raises SmallWorldError."""

    size: int = 5
    goal: tuple[int, int] = (-2, -2)
    home: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        if not 3 <= self.size <= LARGEST:
            raise SmallWorldError(f"the small world has 3 to {LARGEST} cells a side, not {self.size}")
        for name in ("goal", "home"):
            place = tuple(int(at) + self.size * (at < 0) for at in getattr(self, name))
            if len(place) != 2 or not all(0 <= at < self.size for at in place):
                raise SmallWorldError(
                    f"the {name} {getattr(self, name)} is not in a world of {self.size} x {self.size} cells: give row "
                    f"and column from 0 to {self.size - 1}"
                )
            object.__setattr__(self, name, place)
        if self.goal == self.home:
            raise SmallWorldError(f"the goal {self.goal} is where the agent starts: choose another cell")

    @property
    def num_cells(self) -> int:
        return self.size**2

    def cell(self, place: tuple[int, int]) -> int:
        return place[0] * self.size + place[1]

    @cached_property
    def next_cells(self) -> Array:
        """[C, A] int64: where each action leads from each cell."""
        rows, columns = np.divmod(np.arange(self.num_cells), self.size)
        moved = [
            np.clip(rows + down, 0, self.size - 1) * self.size + np.clip(columns + right, 0, self.size - 1)
            for down, right in MOVES.values()
        ]
        return np.stack(moved, axis=1)

    @cached_property
    def distances(self) -> Array:
        """[C] int64: moves from each cell to the goal."""
        rows, columns = np.divmod(np.arange(self.num_cells), self.size)
        return np.abs(rows - self.goal[0]) + np.abs(columns - self.goal[1])

    @cached_property
    def hidden_rewards(self) -> Array:
        """[C] float64, from 0 to 1."""
        return 1.0 - self.distances / self.distances.max()


def cells_seen(observations: Array) -> Array:
    """Observations [..., C] -> the cells [...] int64 in which they were made."""
    return observations.argmax(-1)


class SmallWorld(gymnasium.Env[Array, np.int64]):
    """The grid as an environment. `info` is empty: nothing tells the agent where the goal is."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 4}  # noqa: RUF012 - gymnasium's own form

    def __init__(
        self,
        size: int = Grid.size,
        goal: tuple[int, int] = Grid.goal,
        home: tuple[int, int] = Grid.home,
        render_mode: str | None = None,
    ) -> None:
        self.grid = Grid(size, goal, home)
        self.render_mode = render_mode
        self.observation_space = gymnasium.spaces.Box(0.0, 1.0, (self.grid.num_cells,), np.float32)
        self.action_space = gymnasium.spaces.Discrete(len(MOVES))
        self.cell = self.grid.cell(self.grid.home)
        self._one_hot = np.eye(self.grid.num_cells, dtype=np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Array, dict[str, Any]]:
        super().reset(seed=seed)
        self.cell = self.grid.cell(self.grid.home)
        return self._one_hot[self.cell].copy(), {}

    def step(self, action: Any) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        reward = float(self.grid.hidden_rewards[self.cell])
        self.cell = int(self.grid.next_cells[self.cell, int(action)])
        return self._one_hot[self.cell].copy(), reward, False, False, {}

    def render(self) -> Array:  # type: ignore[override]
        """The grid with the agent, a disc, and the goal, a ring: uint8 [H, W, 3]."""
        side = self.grid.size * _CELL_PX + 1
        picture = np.full((side, side, 3), _COLOURS["cell"], np.uint8)
        picture[::_CELL_PX] = picture[:, ::_CELL_PX] = _COLOURS["line"]
        self._ring(picture, self.grid.cell(self.grid.goal), 12, 18, "goal")
        self._ring(picture, self.cell, 0, 10, "agent")
        return picture

    def _ring(self, picture: Array, cell: int, inner: int, outer: int, colour: str) -> None:
        row, column = divmod(cell, self.grid.size)
        down, right = np.ogrid[: len(picture), : len(picture)]
        middle = _CELL_PX // 2
        squared = (down - row * _CELL_PX - middle) ** 2 + (right - column * _CELL_PX - middle) ** 2
        picture[(squared >= inner**2) & (squared <= outer**2)] = _COLOURS[colour]


if "SmallWorld-v0" not in gymnasium.registry:
    gymnasium.register("SmallWorld-v0", "actors.small_world:SmallWorld", max_episode_steps=HORIZON)
