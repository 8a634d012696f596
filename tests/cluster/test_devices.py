"""A GPU learns and predicts what the CPU does, within what float32 leaves open; within what TF32 does, to which torch
lets a GPU's convolutions round what they multiply, and twoclips the layers behind them; and learns it within what
bfloat16 does, where it is asked to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from actors.clips import cut_clips
from actors.tasks import Task, make_task
from actors.trajectory import Clip, Rollout
from cluster.bench_parts import some_comparisons, some_rollouts, spec_of
from cluster.components import build_learner, build_reader
from cluster.config import RunConfig
from cluster.configure import change_config, make_config
from cluster.run_folder import RunFolder
from learners.relabel import Relabeler
from reward_service.ensemble import RewardEnsemble
from reward_service.fitting import EnsembleFit
from reward_service.snapshot import NothingPublished
from tests.cluster.runs import train
from tests.cluster.test_atari_run import TINY

ON_A_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
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
    true_rewards = torch.randn(rollout.log_probs.shape, generator=torch.Generator().manual_seed(0))
    metrics = learner.step([rollout], [true_rewards], 0.0)
    reader = build_reader(spec, NothingPublished(), torch.device(device))
    _, rewards = Relabeler(reader, task.action).relabel(rollout)
    return Outcome(learner.weights().vector - before, metrics, rewards.cpu().numpy())


@pytest.mark.parametrize("name", NETWORKS)
def test_a_cpu_does_the_same_twice(name: str) -> None:
    """So that what the other tests here compare can be had wherever there is no GPU."""
    task = make_task(name)
    rollout = some_rollouts(config_on(task, "cpu"), task, 1)[0][0]
    first, second = outcome(task, rollout, "cpu"), outcome(task, rollout, "cpu")
    assert np.abs(first.change).max() > 0
    assert first.rewards.std() > 0
    assert np.array_equal(first.change, second.change)
    assert np.array_equal(first.rewards, second.rewards)
    assert first.metrics == second.metrics
    task, clips = clips_of(task)
    fit = fitted(task, clips, "cpu")
    assert np.abs(fit).max() > 0
    assert np.array_equal(fit, fitted(task, clips, "cpu"))


def fitted(task: Task, clips: list[Clip], device: str) -> np.ndarray:
    """How one gradient step of the reward model changes its weights."""
    config = config_on(task, device)
    ensemble = RewardEnsemble(config.reward.networks, task.observation_shape, task.action).to(device)
    dataset = some_comparisons(config, task, ensemble, clips, 8)
    fit = EnsembleFit(config.reward, ensemble, torch.Generator().manual_seed(0))
    before = torch.nn.utils.parameters_to_vector(ensemble.parameters()).detach().clone()
    fit.gradient_step(dataset)
    return (torch.nn.utils.parameters_to_vector(ensemble.parameters()).detach() - before).cpu().numpy()


def clips_of(task: Task) -> tuple[Task, list[Clip]]:
    """The task, with clips that fit into its rollouts here."""
    task = replace(task, preset=replace(task.preset, clip_steps=16))
    parts = some_rollouts(config_on(task, "cpu"), task, 2)
    return task, [clip for part in parts for clip in cut_clips(*part, 16, task.action)]


@pytest.mark.gpu
@ON_A_GPU
@pytest.mark.parametrize("name", NETWORKS)
def test_a_gradient_step_of_the_reward_model_is_that_of_the_cpu(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for backend in (torch.backends.cudnn, torch.backends.cuda.matmul):
        monkeypatch.setattr(backend, "allow_tf32", False)  # Adam's first step is the gradient's sign
    task, clips = clips_of(make_task(name))
    found, expected = fitted(task, clips, GPU), fitted(task, clips, "cpu")
    assert found @ expected > 0.98 * np.linalg.norm(found) * np.linalg.norm(expected) > 0


@pytest.mark.redis
@pytest.mark.parametrize(
    ("name", "device"), [("cart-pole", "cpu"), pytest.param("breakout", GPU, marks=[pytest.mark.gpu, ON_A_GPU])]
)
def test_what_was_learned_on_one_device_goes_on_on_a_cpu(tmp_path: Path, name: str, device: str) -> None:
    devices = {"loop.device": device, "rollout.device": device}
    config = make_config(make_task(name), {**TINY, **devices, "rollout.steps": 50, "steps": 50})
    assert train(tmp_path / "run", config)["reward_version"] >= 1
    RunFolder.open(tmp_path / "run").change(change_config(config, {"steps": 150, **dict.fromkeys(devices, "cpu")}))
    assert train(tmp_path / "run")["steps"] >= 150


@pytest.mark.gpu
@ON_A_GPU
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


@pytest.mark.gpu
@ON_A_GPU
def test_an_update_in_bfloat16_is_nearly_that_of_the_cpu() -> None:
    task = make_task("pong")
    rollout = some_rollouts(config_on(task, "cpu"), task, 1)[0][0]
    expected = outcome(task, rollout, "cpu").change
    found = outcome(task, rollout, GPU, **{"learner.precision": "bfloat16"}).change
    assert not np.array_equal(found, expected)
    assert found @ expected > 0.98 * np.linalg.norm(found) * np.linalg.norm(expected)
