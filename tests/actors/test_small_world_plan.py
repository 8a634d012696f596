from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.small_world import Grid
from actors.small_world_plan import GAMMA, action_values, optimal_actions, reward_match, share_optimal


def test_values_are_those_of_trying_every_plan():
    """The slow twin: all plans of six moves, then staying for ever, in a world of nine cells."""
    grid = Grid(3, (2, 2))
    rewards = np.random.default_rng(0).normal(size=9)
    values = action_values(grid.next_cells, rewards)
    best = np.full((9, 5), -np.inf)
    for cell in range(9):
        for plan in itertools.product(range(5), repeat=6):
            at, total = cell, 0.0
            for t, action in enumerate(plan):
                total += GAMMA**t * rewards[at]
                at = grid.next_cells[at, action]
            total += GAMMA ** len(plan) * rewards[at] / (1 - GAMMA)
            best[cell, plan[0]] = max(best[cell, plan[0]], total)
    np.testing.assert_allclose(values, best, atol=1e-4)


@settings(max_examples=25)
@given(size=st.integers(3, 8), row=st.integers(0, 7), column=st.integers(0, 7))
def test_what_is_optimal_goes_nearer_to_the_goal_and_stays_there(size: int, row: int, column: int):
    goal = (row % size, column % size)
    if goal == (0, 0):
        return
    grid = Grid(size, goal)
    nearer = grid.distances[grid.next_cells] < grid.distances[:, None]
    at_goal = grid.distances == 0
    optimal = optimal_actions(grid)
    np.testing.assert_array_equal(optimal[~at_goal], nearer[~at_goal])
    np.testing.assert_array_equal(optimal[at_goal], grid.next_cells[at_goal] == grid.cell(grid.goal))


def test_beginning_from_older_values_ends_at_the_same():
    grid, random = Grid(), np.random.default_rng(1)
    rewards = random.normal(size=25)
    older = action_values(grid.next_cells, rewards + random.normal(size=25)).max(1)
    from_older = action_values(grid.next_cells, rewards, older)
    np.testing.assert_allclose(from_older, action_values(grid.next_cells, rewards), atol=1e-4)


def test_figures():
    grid = Grid()
    optimal = optimal_actions(grid)
    assert share_optimal(optimal.argmax(1), optimal) == 1.0
    assert share_optimal(np.full(25, 0), optimal) == pytest.approx(5 / 25), "up is right in the last row only"
    hidden = grid.hidden_rewards
    assert reward_match(3 * hidden - 7, hidden) == pytest.approx(1.0), "offset and scale do not count"
    assert reward_match(-hidden, hidden) == 0.0
    assert reward_match(np.zeros(25), hidden) == 0.0
