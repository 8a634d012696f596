from __future__ import annotations

import numpy as np
import pytest

from actors.small_world import Grid
from actors.small_world_plan import optimal_actions, share_optimal
from cluster.demo import run_headless
from cluster.demo_ppo import ROLLOUT_STEPS, PPOAgent
from labeling.demo_config import DemoConfig


def walk(agent: PPOAgent, grid: Grid, steps: int) -> list[int]:
    """Cells in which it acts, in episodes of 20 steps."""
    cells: list[int] = []
    cell = grid.cell(grid.home)
    for step in range(1, steps + 1):
        cells.append(cell)
        action = agent.act(cell)
        following, ended = int(grid.next_cells[cell, action]), step % 20 == 0
        agent.saw(cell, action, following, ended)
        cell = grid.cell(grid.home) if ended else following
    return cells


def test_it_learns_the_way_to_the_goal_from_the_rewards_of_cells():
    grid = Grid()
    agent = PPOAgent(grid, 0.0, seed=1)
    agent.learn(7 * grid.hidden_rewards - 100)  # offset and scale are nothing to it
    walk(agent, grid, 9 * ROLLOUT_STEPS)
    assert share_optimal(agent.arrows, optimal_actions(grid)) >= 0.85
    last = np.array(walk(agent, grid, 400)).reshape(20, 20)
    assert (grid.distances[last[:, 10:]] <= 1).mean() > 0.8, "it walks to the goal and stays about there"


def test_before_the_first_reward_it_acts_and_does_not_learn():
    grid = Grid()
    agent = PPOAgent(grid, 0.0, seed=1)
    before = agent._log_probs.copy()
    cells = walk(agent, grid, 2 * ROLLOUT_STEPS)
    np.testing.assert_array_equal(agent._log_probs, before)
    assert len(set(cells)) > 10, "it looks about"


def test_a_rollout_tells_what_was_walked():
    grid = Grid()
    agent = PPOAgent(grid, 0.0, seed=2)
    cells = walk(agent, grid, 45)
    rollout = agent._rollout()
    assert rollout.observations[:-1, 0].argmax(-1).tolist() == cells
    assert rollout.ends.tolist() == [[19, 0], [39, 0]]
    for (t, _), final in zip(rollout.ends, rollout.final_observations, strict=True):
        assert final.argmax() == grid.next_cells[cells[t], rollout.actions[t, 0]]
    assert rollout.observations[20, 0].argmax() == grid.cell(grid.home)
    np.testing.assert_allclose(np.exp(rollout.log_probs), 0.2, atol=0.02)


@pytest.mark.redis
def test_it_moves_the_agent_of_the_demo_the_same_way_every_time():
    first, again = (run_headless(DemoConfig(algorithm="ppo"), 700) for _ in range(2))
    assert first["grid"] == again["grid"]
    assert first["labels_digest"] == again["labels_digest"]
    assert first["algorithm"] == "ppo"
