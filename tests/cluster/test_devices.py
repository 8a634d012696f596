"""A GPU learns and predicts what the CPU does, within what float32 leaves open; within what TF32 does, to which torch
lets a GPU's convolutions round what they multiply; and learns it within what bfloat16 does, where it is asked to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from actors.tasks import Task, make_task
from actors.trajectory import Rollout
from cluster.bench_parts import some_rollouts, spec_of
from cluster.components import build_learner, build_reader
from cluster.config import RunConfig
from cluster.configure import make_config
from learners.relabel import Relabeler

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")]

GPU = "cuda"
NETWORKS = {"pong": {"policy.torso": "mnih-2015", "reward.torso": "paper"}, "half-cheetah": {}}


@dataclass(frozen=True, eq=False)
class Outcome:
    """What one PPO update of a rollout has changed, what it says of itself, and the rewards [T, B] predicted for it."""

    change: np.ndarray
    metrics: dict[str, float]
    rewards: np.ndarray


def config_on(task: Task, device: str, **settings: str) -> RunConfig:
    sizes = {"rollout.num_envs": 4, "rollout.steps": 32, "ppo.minibatch": 32, "ppo.epochs": 1, "workers": 1}
    return make_config(task, {**NETWORKS[task.name], **sizes, "loop.device": device, "in_process": True, **settings})


def outcome(task: Task, rollout: Rollout, device: str, **settings: str) -> Outcome:
    """From the same seeds on every device."""
    spec = spec_of(config_on(task, device, **settings), task)
    learner = build_learner(spec)
    before = learner.weights().vector
    true_rewards = np.random.default_rng(0).standard_normal(rollout.log_probs.shape).astype(np.float32)
    metrics = learner.step([rollout], [true_rewards], 0.0)
    _, rewards = Relabeler(build_reader(spec, None, device), task.action).relabel(rollout)
    return Outcome(learner.weights().vector - before, metrics, rewards.cpu().numpy())


@pytest.mark.parametrize(("tf32", "tolerance"), [(False, 0.01), (True, 0.1)], ids=["float32", "tf32"])
@pytest.mark.parametrize("name", NETWORKS)
def test_an_update_and_a_prediction_are_those_of_the_cpu(
    monkeypatch: pytest.MonkeyPatch, name: str, tf32: bool, tolerance: float
) -> None:
    task = make_task(name)
    rollout = some_rollouts(config_on(task, "cpu"), task, 1)[0][0]
    expected = outcome(task, rollout, "cpu")
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", tf32)
    found = outcome(task, rollout, GPU)
    assert np.linalg.norm(found.change - expected.change) < tolerance * np.linalg.norm(expected.change)
    assert np.abs(found.rewards - expected.rewards).max() < tolerance * expected.rewards.std()
    for metric in ("policy_loss", "value_loss", "entropy", "kl"):
        assert found.metrics[metric] == pytest.approx(expected.metrics[metric], rel=tolerance, abs=1e-3), metric


def test_an_update_in_bfloat16_is_nearly_that_of_the_cpu() -> None:
    task = make_task("pong")
    rollout = some_rollouts(config_on(task, "cpu"), task, 1)[0][0]
    expected = outcome(task, rollout, "cpu").change
    found = outcome(task, rollout, GPU, **{"learner.precision": "bfloat16"}).change
    assert not np.array_equal(found, expected)
    assert found @ expected > 0.98 * np.linalg.norm(found) * np.linalg.norm(expected)
