"""ARCHITECTURE.md, "One transition, from environment step to gradient": a number is known at every hop.

The world is a counter: the observation is the number of steps taken in the episode, the true reward is that number,
and an episode has four steps. The reward model is set by hand to pay 2 x observation.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch

from actors.policy import ActorCritic, PolicyConfig
from actors.rollout import RolloutConfig, RolloutWorker
from actors.tasks import Preset, Task, make_task, register
from learners.advantages import gae
from learners.learner import Learner, LearnerConfig
from learners.ppo import PPO, PPOConfig
from learners.relabel import Relabeler
from reward_service.ensemble import EnsembleConfig, RewardEnsemble
from reward_service.snapshot import RewardSnapshot, SnapshotReader
from tests.one_snapshot import OneSnapshot

HORIZON = 4
ONE_UNIT = EnsembleConfig(members=2, hidden=(1,))


class Counter(gymnasium.Env[np.ndarray, np.ndarray]):
    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (1,))
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,))

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self._count = 0
        return np.zeros(1, np.float32), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
        self._count += 1
        return np.full(1, self._count, np.float32), float(self._count), False, False, {}


@pytest.fixture(name="task")
def _task() -> Task:
    if "Counter-v0" not in gymnasium.registry:
        gymnasium.register("Counter-v0", entry_point=Counter)
    register("counter", "Counter-v0", Preset(horizon=HORIZON, clip_steps=2))
    return make_task("counter")


def ensemble_that_pays_twice_the_observation(task: Task) -> RewardEnsemble:
    ensemble = RewardEnsemble(ONE_UNIT, task.observation_shape, task.action)
    state = ensemble.state_dict()
    state["weights.0"] = torch.tensor([[[1.0], [0.0]]] * 2)  # [E, O + A, 1]: the observation, not the action
    state["weights.1"] = torch.full((2, 1, 1), 2.0)
    state["biases.0"] = state["biases.1"] = torch.zeros(2, 1, 1)
    ensemble.load_state_dict(state)
    return ensemble


def test_a_transition_from_the_environment_to_the_gradient(task: Task) -> None:
    # 1. A worker steps two environments six times with policy version 3.
    policy = ActorCritic(PolicyConfig(hidden=(4,)), task.observation_shape, task.action)
    worker = RolloutWorker(task, PolicyConfig(hidden=(4,)), RolloutConfig(num_envs=2, steps=6), worker=0, seed=0)
    rollout, hidden = worker.step(policy.export(version=3))
    assert rollout.policy_version == 3
    # Environment 1 starts half-way through an episode: the clock of each is another.
    np.testing.assert_array_equal(rollout.observations[:, 0, 0], [0, 1, 2, 3, 0, 1, 2])
    np.testing.assert_array_equal(rollout.observations[:, 1, 0], [0, 1, 0, 1, 2, 3, 0])
    np.testing.assert_array_equal(hidden.true_rewards[:, 0], [1, 2, 3, 4, 1, 2])
    # An end is a truncation, and what was seen before the reset is kept.
    np.testing.assert_array_equal(rollout.ends, [[1, 1], [3, 0], [5, 1]])
    np.testing.assert_array_equal(rollout.final_observations[:, 0], [2, 4, 4])
    assert not rollout.terminated.any()

    # 2. The learner relabels with the newest snapshot; the rollout itself has nothing to pay.
    assert not hasattr(rollout, "rewards")
    ensemble = ensemble_that_pays_twice_the_observation(task)
    snapshot = RewardSnapshot.capture(ensemble, version=7, num_labels=1)
    reader = SnapshotReader(
        OneSnapshot((7, snapshot.to_bytes())),
        RewardEnsemble(ONE_UNIT, task.observation_shape, task.action),
    )
    relabeler = Relabeler(reader, task.action)
    assert relabeler.refresh()
    assert relabeler.reward_version == 7
    rewards, raw = relabeler.relabel(rollout)
    np.testing.assert_allclose(raw, rewards, rtol=1e-5)  # statistics of this snapshot: mean 0, deviation 1
    np.testing.assert_allclose(rewards, 2 * rollout.observations[:-1, :, 0], rtol=1e-5)

    # 3. Advantages bootstrap through the truncation: with V = 0 and gamma = lambda = 1 they are sums to come.
    zeros, terminated, truncated = (
        torch.zeros_like(rewards),
        *map(torch.tensor, (rollout.terminated, rollout.truncated)),
    )
    advantages = gae(rewards, zeros, zeros, terminated, truncated, gamma=1.0, lambda_=1.0)
    np.testing.assert_allclose(advantages[:, 0], [12, 12, 10, 6, 2, 2])

    # 4. One update: version 4, lag 1 for a rollout of version 3, and other weights than before.
    learner = Learner(LearnerConfig(), policy, PPO(PPOConfig(minibatch=4), policy, seed=0))
    learner.version = 4
    before = learner.weights()
    metrics = learner.step([rollout], [rewards], progress=0.0)
    assert metrics["policy_lag"] == 1
    # 5. The next version travels.
    after = learner.weights()
    assert after.version == 5
    assert not np.array_equal(before.vector, after.vector)
