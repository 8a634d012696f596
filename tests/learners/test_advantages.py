import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from learners.advantages import ValueScale, gae


def as_tensor(value):
    return torch.from_numpy(value) if isinstance(value, np.ndarray) else value


def slow_gae(rewards, values, next_values, terminated, ended, gamma, lambda_):
    """The explicit double sum: A_t = sum_k (gamma lambda)^k delta_(t+k), up to and including the first end."""
    steps, envs = rewards.shape
    advantages = np.zeros((steps, envs))
    for b in range(envs):
        for t in range(steps):
            for k in range(t, steps):
                following = 0.0 if terminated[k, b] else next_values[k, b]
                delta = rewards[k, b] + gamma * following - values[k, b]
                advantages[t, b] += (gamma * lambda_) ** (k - t) * delta
                if ended[k, b]:
                    break
    return advantages


@given(
    seed=st.integers(0, 2**32 - 1),
    steps=st.integers(1, 12),
    envs=st.integers(1, 4),
    gamma=st.floats(0, 1),
    lambda_=st.floats(0, 1),
)
@settings(max_examples=60, deadline=None)
def test_gae_is_the_double_sum(seed, steps, envs, gamma, lambda_):
    random = np.random.default_rng(seed)
    rewards, values, next_values = random.standard_normal((3, steps, envs))
    terminated, truncated = random.random((2, steps, envs)) < 0.2
    arguments = (rewards, values, next_values, terminated, terminated | truncated, gamma, lambda_)
    np.testing.assert_allclose(gae(*map(as_tensor, arguments)), slow_gae(*arguments), atol=1e-9)


@pytest.mark.parametrize(("terminated", "expected"), [(True, 1.0), (False, 1.0 + 0.9 * 10.0)])
def test_a_termination_has_no_next_value_and_a_truncation_has(terminated, expected):
    """One step of reward 1 from a state of value 0 to one of value 10."""
    advantage = gae(
        torch.ones(1, 1),
        torch.zeros(1, 1),
        torch.full((1, 1), 10.0),
        torch.tensor([[terminated]]),
        torch.tensor([[True]]),
        0.9,
        0.95,
    )
    assert advantage.item() == pytest.approx(expected)


def test_nothing_flows_back_over_an_end():
    """The reward of 100 after the truncation at t = 1 is another episode's."""
    rewards = torch.tensor([[1.0], [1.0], [100.0]])
    ended = torch.tensor([[False], [True], [False]])
    zeros, never = torch.zeros(3, 1), torch.zeros(3, 1, dtype=torch.bool)
    assert gae(rewards, zeros, zeros, never, ended, 1.0, 1.0).flatten().tolist() == [2.0, 1.0, 100.0]


def test_gae_of_true_values_is_zero():
    """Reward 1 for ever is worth 1 / (1 - gamma) everywhere, so no action has an advantage."""
    gamma, shape = 0.99, (50, 3)
    values = torch.full(shape, 1 / (1 - gamma), dtype=torch.float64)
    ended, never = torch.zeros(2, *shape, dtype=torch.bool)
    ended[20] = True
    advantages = gae(torch.ones(shape), values, values, never, ended, gamma, 0.95)
    np.testing.assert_allclose(advantages, 0, atol=1e-9)


def test_gae_keeps_single_precision():
    block, never = torch.zeros(4, 2), torch.zeros(4, 2, dtype=torch.bool)
    assert gae(block, block, block, never, never, 0.99, 0.95).dtype == torch.float32


def test_the_value_scale_starts_at_the_first_targets_and_then_follows_slowly():
    scale = ValueScale(rate=0.5)
    scale.update(torch.tensor([1.0, 3.0]))
    assert (scale.mean, scale.std) == (2.0, 1.0)
    scale.update(torch.tensor([4.0, 4.0]))  # moments 4 and 16, met half-way from 2 and 5
    assert scale.mean == 3.0
    assert float(scale.std) == pytest.approx((10.5 - 9.0) ** 0.5)


def test_the_value_scale_of_constant_targets_is_small_but_not_zero():
    scale = ValueScale()
    scale.update(torch.full((10,), 7.0))
    assert float(scale.std) == pytest.approx(0.01)


def test_the_value_scale_does_not_cancel_where_the_mean_is_far_above_the_spread():
    targets = (np.random.default_rng(0).standard_normal(4096) + 3000).astype(np.float32)
    scale = ValueScale()
    scale.update(torch.from_numpy(targets))
    assert float(scale.std) == pytest.approx(targets.astype(np.float64).std(), rel=1e-6)
