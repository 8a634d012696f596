"""PPO and A2C find out from pictures alone what is worth doing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from actors.frames import stacked
from actors.policy import ActorCritic, PolicyConfig
from actors.spaces import ActionSpec
from actors.trajectory import Rollout
from learners.a2c import A2C, A2CConfig
from learners.learner import Learner, LearnerConfig
from learners.ppo import PPO, PPOConfig

STEPS, ENVS, DEPTH, SIDE, CHOICES = 5, 16, 3, 36, 4


def shown(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Pictures [T + K, B, H, W] of noise with a bright bar at one of four places, and the places [T + K, B]."""
    places = random.integers(0, CHOICES, (STEPS + DEPTH, ENVS))
    pictures = random.integers(0, 60, (STEPS + DEPTH, ENVS, SIDE, SIDE)).astype(np.uint8)
    for step, env in np.ndindex(places.shape):
        left = places[step, env] * SIDE // CHOICES
        pictures[step, env, :, left : left + SIDE // CHOICES] += 150
    return pictures, places


def played(policy: ActorCritic, random: np.random.Generator) -> tuple[Rollout, torch.Tensor]:
    """A rollout, and 1 for each step at which the place of the latest bar was named."""
    pictures, places = shown(random)
    stacks = torch.from_numpy(stacked(pictures, DEPTH)[:STEPS].copy())
    with torch.no_grad():
        head = policy.head(policy.normalise(stacks.flatten(0, 1)))
        actions = torch.distributions.Categorical(logits=head).sample()
        log_probs = policy.log_prob(head, actions).view(STEPS, ENVS).numpy()
    chosen = actions.view(STEPS, ENVS).numpy()
    never = np.zeros((STEPS, ENVS), bool)
    nothing = np.zeros((0, SIDE, SIDE), np.uint8)
    rollout = Rollout(pictures, chosen, log_probs, never, never, np.argwhere(never), nothing, 0, 0)
    return rollout, torch.from_numpy((chosen == places[DEPTH - 1 : -1]).astype(np.float32))


@pytest.mark.parametrize("name", ["ppo", "a2c"])
def test_the_place_of_a_bar_is_named_once_it_was_worth_it(name: str) -> None:
    policy = ActorCritic(PolicyConfig(torso="mnih-2013"), (DEPTH, SIDE, SIDE), ActionSpec(0, CHOICES))
    algorithm = PPO(PPOConfig(epochs=2, minibatch=40), policy, 0) if name == "ppo" else A2C(A2CConfig(), policy, 0)
    learner, random = Learner(LearnerConfig(gamma=0.01), policy, algorithm), np.random.default_rng(0)
    right = []
    for _ in range(80):
        rollout, rewards = played(policy, random)
        learner.step([rollout], [rewards], 0.0)
        right.append(float(rewards.mean()))
    assert np.mean(right[:3]) < 0.45
    assert np.mean(right[-10:]) > 0.9
