"""What a run has learned is used elsewhere: its policy in a gymnasium loop, its reward model on any steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch

from actors.tasks import make_task
from cluster.run_folder import RunFolder
from cluster.settings import replaced
from cluster.trained import best_action, in_environment_units, load_policy, load_reward
from learners.checkpoint import CheckpointError, load_checkpoint, save_checkpoint


def test_a_trained_policy_plays_in_gymnasium(finished_run: RunFolder):
    task = finished_run.config.make_task()
    step, policy = load_policy(finished_run, task)
    assert step == 1600
    env = gymnasium.make(task.environment_id)
    observation, _ = env.reset(seed=0)
    for _ in range(5):
        action = best_action(policy, task, observation)
        assert action == int(policy.deterministic(observation[None])[0])
        observation, *_ = env.step(action)
    env.close()


def test_actions_reach_the_environment_in_its_bounds_and_units():
    pendulum = make_task("Pendulum-v1")  # torques from -2 to 2
    assert in_environment_units(pendulum, np.array([[0.5], [-3.0]], np.float32)).tolist() == [[1.0], [-2.0]]


def test_the_reward_model_is_that_of_the_newest_checkpoint(finished_run: RunFolder):
    task = finished_run.config.make_task()
    step, ensemble = load_reward(finished_run, task)
    _, state = load_checkpoint(finished_run.checkpoints)
    kept = state["services"]["reward service"]["ensemble"]
    assert step == 1600
    assert all(torch.equal(value, kept[name]) for name, value in ensemble.state_dict().items())
    observations, actions = torch.randn(7, 3, 4), torch.randint(2, (7, 3))
    assert ensemble(observations, actions).shape == (7, 3)
    assert ensemble.clip_returns(observations, actions).shape == (finished_run.config.reward.members, 7)


def test_a_run_without_labels_has_no_reward_model(finished_run: RunFolder, tmp_path: Path):
    baseline = with_checkpoint_of(finished_run, tmp_path, {"labeler": "none"})
    with pytest.raises(CheckpointError, match="learned from the true reward, it has no reward model"):
        load_reward(baseline, baseline.config.make_task())


def test_other_networks_than_the_configurations_are_refused(finished_run: RunFolder, tmp_path: Path):
    other = with_checkpoint_of(finished_run, tmp_path, {"policy.hidden": [8], "reward.hidden": [8]})
    for load in (load_policy, load_reward):
        with pytest.raises(CheckpointError, match="of this run's configuration"):
            load(other, other.config.make_task())


def with_checkpoint_of(run: RunFolder, parent: Path, settings: dict[str, Any]) -> RunFolder:
    """A run whose configuration differs in these settings, with the checkpoint of `run`."""
    other = RunFolder.create(parent / "other", replaced(run.config, settings))
    save_checkpoint(other.checkpoints, *load_checkpoint(run.checkpoints))
    return other
