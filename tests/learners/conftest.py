"""Small policies and batches to learn from."""

from __future__ import annotations

import pytest
import torch

from actors.policy import ActorCritic, PolicyConfig
from actors.spaces import ActionSpec
from learners.algorithm import Batch

GAUSSIAN = ActionSpec(3, 0, (-1.0,) * 3, (1.0,) * 3)
CATEGORICAL = ActionSpec(0, 4)


@pytest.fixture(autouse=True)
def same_seed() -> None:
    torch.manual_seed(0)


@pytest.fixture(params=[GAUSSIAN, CATEGORICAL], ids=["gaussian", "categorical"])
def policy(request: pytest.FixtureRequest) -> ActorCritic:
    """Not a fresh policy, whose heads are nearly all alike: a shaken one."""
    policy = ActorCritic(PolicyConfig(hidden=(8, 8)), (5,), request.param)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return policy


@pytest.fixture
def batch(policy: ActorCritic) -> Batch:
    """200 transitions acted by a policy somewhat unlike the present one, so that PPO's clip holds for many."""
    size = 200
    observations = torch.randn(size, 5)
    with torch.no_grad():
        head = policy.head(observations)
        if policy.action.discrete:
            actions = torch.randint(0, policy.action.num_choices, (size,))
        else:
            actions = head + policy.log_std.exp() * torch.randn_like(head)
        log_probs = policy.log_prob(head, actions) + 0.3 * torch.randn(size)
        values = policy.values(observations)
    advantages = torch.randn(size)
    return Batch(observations, actions, log_probs, advantages, values + advantages, values)
