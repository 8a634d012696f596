from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from actors.clips import cut_clips
from actors.policy import ActorCritic, PolicyConfig
from actors.replay import clip_frames, drawing_problem
from actors.rollout import RolloutConfig, RolloutWorker
from actors.small_world import ENVIRONMENT_ID, LARGEST, MOVES, Grid, SmallWorld, SmallWorldError, cells_seen
from actors.tasks import make_task


def test_the_world_by_hand():
    grid = Grid()
    assert (grid.goal, grid.home, grid.num_cells) == ((3, 3), (0, 0), 25)
    up, right, down, left, stay = range(len(MOVES))
    assert grid.next_cells[12].tolist() == [7, 13, 17, 11, 12]
    assert grid.next_cells[0, up] == grid.next_cells[0, left] == grid.next_cells[0, stay] == 0, "walls hold"
    assert grid.next_cells[24, right] == grid.next_cells[24, down] == 24
    assert grid.distances.reshape(5, 5)[:, 3].tolist() == [3, 2, 1, 0, 1]
    assert grid.hidden_rewards[grid.cell((3, 3))] == 1.0
    assert grid.hidden_rewards[0] == 0.0


def test_size_and_goal_are_options():
    world = gymnasium.make(ENVIRONMENT_ID, size=7, goal=(6, 0)).unwrapped
    assert isinstance(world, SmallWorld)
    assert world.observation_space.shape == (49,)
    assert world.grid.hidden_rewards.argmax() == 42


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"size": 2}, f"3 to {LARGEST} cells"),
        ({"size": LARGEST + 1}, f"3 to {LARGEST} cells"),
        ({"goal": (5, 0)}, "row and column from 0 to 4"),
        ({"goal": (0, 0)}, "choose another cell"),
    ],
)
def test_no_such_world(wrong, told):
    with pytest.raises(SmallWorldError, match=told):
        SmallWorld(**wrong)


def test_gymnasium_finds_nothing_wrong():
    check_env(gymnasium.make(ENVIRONMENT_ID, render_mode="rgb_array").unwrapped)


def test_a_step_pays_for_the_cell_in_which_it_was_made():
    world = SmallWorld(goal=(0, 1))
    first, info = world.reset(seed=3)
    assert info == {}
    assert cells_seen(first) == 0
    second, reward, terminated, truncated, info = world.step(1)
    assert (reward, terminated, truncated, info) == (world.grid.hidden_rewards[0], False, False, {})
    assert cells_seen(second) == 1
    assert world.step(4)[1] == 1.0, "at the goal"
    world.reset()
    assert world.cell == 0


def test_agent_and_goal_are_seen_in_the_picture():
    world = SmallWorld(render_mode="rgb_array")
    world.reset()
    before = world.render()
    world.step(2)
    after = world.render()
    assert before.shape == (241, 241, 3)
    assert before.dtype == np.uint8
    moved = np.argwhere((before != after).any(-1))
    assert moved.min(0).tolist() >= [0, 0]
    assert moved[:, 0].max() < 2 * 48, "only in the two cells that it left and entered"
    assert moved[:, 1].max() < 48
    row, column = 3 * 48 + 24, 3 * 48 + 24 + 15
    assert after[row, column].tolist() == [29, 122, 74]


def test_clips_of_a_rollout_can_be_played_again_as_pictures():
    task = make_task("small-world")
    worker = RolloutWorker(task, PolicyConfig(), RolloutConfig(num_envs=2, steps=25), worker=0, seed=5)
    weights = ActorCritic(PolicyConfig(), task.observation_shape, task.action).export(0)
    rollout, hidden = worker.step(weights)
    clips = cut_clips(rollout, hidden, task.preset.clip_steps, task.action)
    frames = clip_frames(task, clips[-1])
    assert len(frames) == task.preset.clip_steps == 5
    paid = Grid().hidden_rewards[cells_seen(clips[-1].segment.observations)].sum()
    assert clips[-1].true_return == pytest.approx(paid, abs=1e-5), "one number per cell says all about a clip"


def test_people_can_see_it():
    assert drawing_problem(make_task("small-world")) == ""
