"""Each algorithm learns a small world within seconds, on three seeds, through the real worker and learner."""

import gymnasium
import numpy as np
import pytest
import torch

from actors.policy import ActorCritic, PolicyConfig
from actors.rollout import RolloutConfig, RolloutWorker
from actors.tasks import make_task
from learners.a2c import A2C, A2CConfig
from learners.learner import Learner, LearnerConfig
from learners.ppo import PPO, PPOConfig
from learners.trpo import TRPO, TRPOConfig


class PointMass(gymnasium.Env):
    """A point on a line that should be in the middle. Reward is minus its distance from it; actions push."""

    observation_space = gymnasium.spaces.Box(-2, 2, (1,))

    def __init__(self, discrete):
        self.action_space = gymnasium.spaces.Discrete(3) if discrete else gymnasium.spaces.Box(-1, 1, (1,))
        self.discrete = discrete

    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        self.x = self.np_random.uniform(-1, 1)
        return np.array([self.x], np.float32), {}

    def step(self, action):
        self.x = min(2.0, max(-2.0, self.x + 0.3 * float(action - 1 if self.discrete else action[0])))
        return np.array([self.x], np.float32), -abs(self.x), False, False, {}


for kind in ("Box", "Discrete"):
    gymnasium.register(
        f"TwoclipsPointMass{kind}-v0", PointMass, max_episode_steps=20, kwargs={"discrete": kind == "Discrete"}
    )

ALGORITHMS = {  # rollout steps, updates, algorithm
    "ppo": (64, 15, lambda policy, seed: PPO(PPOConfig(learning_rate=3e-3, epochs=5, minibatch=128), policy, seed)),
    "trpo": (64, 25, lambda policy, seed: TRPO(TRPOConfig(max_kl=0.05, entropy=0.001), policy, seed)),
    "a2c": (5, 300, lambda policy, seed: A2C(A2CConfig(learning_rate=5e-3, entropy=0.001), policy, seed)),
}


def train(environment_id, name, seed):
    """Mean true reward per step of the untrained and of the trained policy."""
    torch.manual_seed(seed)
    steps, updates, make = ALGORITHMS[name]
    task = make_task(environment_id)
    policy = ActorCritic(PolicyConfig(hidden=(32,)), task.observation_shape, task.action)
    learner = Learner(LearnerConfig(gamma=0.9), policy, make(policy, seed))
    worker = RolloutWorker(task, PolicyConfig(hidden=(32,)), RolloutConfig(num_envs=16, steps=steps), 0, seed)
    judge = RolloutWorker(task, PolicyConfig(hidden=(32,)), RolloutConfig(num_envs=16, steps=100), 0, seed + 100)
    start = judge.step(learner.weights())[1].true_rewards.mean()
    for update in range(updates):
        rollout, hidden = worker.step(learner.weights())
        metrics = learner.step([rollout], [torch.from_numpy(hidden.true_rewards)], update / updates)
        assert metrics["policy_lag"] == 0
    return start, judge.step(learner.weights())[1].true_rewards.mean()


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_continuous_point_mass_comes_to_the_middle(name, seed):
    start, end = train("TwoclipsPointMassBox-v0", name, seed)
    assert end > 0.5 * start


@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_discrete_point_mass_comes_to_the_middle(name):
    start, end = train("TwoclipsPointMassDiscrete-v0", name, 0)
    assert end > 0.5 * start
