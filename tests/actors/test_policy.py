import math

import numpy as np
import pytest
import torch
from torch.distributions import Categorical, Independent, Normal, kl_divergence

from actors.policy import ActorCritic, PolicyConfig
from actors.spaces import ActionSpec
from actors.weights import PolicyWeights

GAUSSIAN, CATEGORICAL = ActionSpec(3, 0, (-1.0,) * 3, (1.0,) * 3), ActionSpec(0, 4)


def make(spec, shake=0.3):
    policy = ActorCritic(PolicyConfig(hidden=(8, 8)), (5,), spec)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(shake * torch.randn_like(parameter))
    return policy


def distribution(policy, head):
    if policy.action.discrete:
        return Categorical(logits=head)
    return Independent(Normal(head, policy.log_std.exp().expand_as(head)), 1)


@pytest.mark.parametrize("spec", [GAUSSIAN, CATEGORICAL])
def test_density_entropy_and_kl_are_those_of_torch_distributions(spec):
    policy, other = make(spec), make(spec)
    x = torch.randn(20, 5)
    with torch.no_grad():
        head, other_head = policy.head(x), other.head(x)
        ours, theirs = distribution(policy, head), distribution(other, other_head)
        actions = ours.sample()
        torch.testing.assert_close(policy.log_prob(head, actions), ours.log_prob(actions))
        torch.testing.assert_close(policy.entropy(head).expand(20), ours.entropy())
        old_log_std = None if spec.discrete else other.log_std
        torch.testing.assert_close(
            policy.kl(other_head, old_log_std, head), kl_divergence(theirs, ours), atol=1e-5, rtol=1e-4
        )


@pytest.mark.parametrize("spec", [GAUSSIAN, CATEGORICAL])
def test_an_exported_policy_acts_the_same_where_it_is_loaded(spec):
    policy, other = make(spec), make(spec)
    policy.observation_mean.fill_(2.0)
    policy.observation_std.fill_(3.0)
    weights = policy.export(7)
    assert weights.version == 7
    other.load(weights)
    observations = np.random.default_rng(0).standard_normal((6, 5)).astype(np.float32)
    np.testing.assert_array_equal(policy.deterministic(observations), other.deterministic(observations))
    assert (other.export(7).vector == weights.vector).all()
    assert other.observation_std.tolist() == [3.0] * 5


def test_exported_weights_are_a_copy_and_may_be_read_only():
    policy = make(GAUSSIAN)
    weights = policy.export(0)
    weights.vector.flags.writeable = False  # as Ray's object store gives them
    before = weights.vector.copy()
    policy.load(weights)
    with torch.no_grad():
        policy.log_std.add_(1)
    assert (weights.vector == before).all()


def test_foreign_weights_are_refused():
    with pytest.raises(ValueError, match="they belong to another task or network"):
        make(GAUSSIAN).load(make(CATEGORICAL).export(0))
    with pytest.raises(ValueError, match="policy weights have 3 numbers"):
        make(GAUSSIAN).load(PolicyWeights(0, np.zeros(3, np.float32)))


def test_a_fresh_policy_acts_near_the_middle_with_the_configured_spread():
    policy = ActorCritic(PolicyConfig(initial_std=0.5), (5,), GAUSSIAN)
    with torch.no_grad():
        assert policy.head(torch.randn(50, 5)).abs().max() < 0.1
        assert policy.entropy(torch.zeros(1, 3)).item() == pytest.approx(
            3 * (0.5 * math.log(2 * math.pi * math.e) + math.log(0.5))
        )


def test_far_observations_are_clipped_after_normalisation():
    policy = make(GAUSSIAN)
    policy.observation_mean.fill_(1.0)
    policy.observation_std.fill_(0.5)
    x = torch.tensor([[1.0, 1.5, 1e9, -1e9, 0.0]])
    assert policy.normalise(x).tolist() == [[0.0, 1.0, 10.0, -10.0, -2.0]]


def test_the_likeliest_action():
    policy = make(CATEGORICAL)
    observations = np.zeros((2, 5), np.float32)
    with torch.no_grad():
        expected = policy.head(policy.normalise(torch.zeros(2, 5))).argmax(-1)
    assert (policy.deterministic(observations) == expected.numpy()).all()
