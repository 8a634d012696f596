"""Planning in the small world: what is worth doing where, if the rewards of its cells are these.

    worth = action_values(grid.next_cells, rewards)
    share = share_optimal(worth.argmax(1), optimal_actions(grid))

Moves are certain and all is known but the reward, so value iteration solves it, in a fraction of a millisecond.
"""

from __future__ import annotations

import numpy as np

from actors.small_world import Grid

Array = np.ndarray

GAMMA = 0.9
_TOLERANCE = 1e-6
_MOST_SWEEPS = 500  # 0.9^500 is 1e-23: it has long converged


def action_values(next_cells: Array, rewards: Array, values: Array | None = None) -> Array:
    """[C, A]: the discounted rewards that follow each action in each cell, if one goes on as best one can.

    next_cells [C, A]; rewards [C], of acting in a cell; values [C] to begin from: those of slightly other rewards."""
    state_values = np.zeros(len(rewards)) if values is None else values
    tolerance = _TOLERANCE * max(1e-12, float(np.ptp(rewards)))
    for _ in range(_MOST_SWEEPS):
        newer = rewards + GAMMA * state_values[next_cells].max(axis=1)
        change = np.abs(newer - state_values).max()
        state_values = newer
        if change <= tolerance:
            break
    return rewards[:, None] + GAMMA * state_values[next_cells]


def optimal_actions(grid: Grid) -> Array:
    """[C, A] bool: which actions the hidden reward makes the best; several where two ways are equally short."""
    values = action_values(grid.next_cells, grid.hidden_rewards)
    return values >= values.max(axis=1, keepdims=True) - 1e-4


def share_optimal(actions: Array, optimal: Array) -> float:
    """Share of the cells whose action [C] is one of the `optimal` [C, A]."""
    return float(optimal[np.arange(len(actions)), actions].mean())


def reward_match(learned: Array, hidden: Array) -> float:
    """How closely one number per cell follows another: their correlation over all cells, and 0 where there is none or
    it is negative. Comparisons fix rewards up to offset and scale, and correlation looks at neither."""
    if np.ptp(learned) < 1e-12 or np.ptp(hidden) < 1e-12:
        return 0.0
    return max(0.0, float(np.corrcoef(learned, hidden)[0, 1]))
