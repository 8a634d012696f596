import dataclasses
import math

import pytest
import torch
from torch import nn

from learners.algorithm import LossGradient, standardise
from learners.gradient import FlatParameters, TanhMLP
from learners.ppo import PPO, PPOConfig


def gradients(module):
    return torch.cat([p.grad.reshape(-1) for p in module.parameters()])


def flat(tensors):
    return torch.cat([t.reshape(-1) for t in tensors])


def test_a_tanh_mlp_agrees_with_autograd():
    layers = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 6), nn.Tanh(), nn.Linear(6, 2)).double()
    x, upstream = torch.randn(30, 4).double(), torch.randn(30, 2).double()
    expected = flat(torch.autograd.grad((layers(x) * upstream).sum(), list(layers.parameters())))
    FlatParameters(layers.parameters())
    mlp = TanhMLP(layers)
    with torch.no_grad():
        for _ in range(2):  # overwritten, not accumulated
            torch.testing.assert_close(mlp.forward(x), layers(x))
            mlp.backward(upstream)
    torch.testing.assert_close(gradients(layers), expected)


def test_ppo_gradient_agrees_with_autograd(policy, batch):
    """The clipped surrogate with samples on both sides of the clip, the value error and the entropy bonus."""
    config = PPOConfig(entropy=0.05, value_coefficient=0.7)
    advantages = standardise(batch.advantages)
    head = policy.head(batch.observations)
    ratio = (policy.log_prob(head, batch.actions) - batch.log_probs).exp()
    clipped = ratio.clamp(1 - config.clip, 1 + config.clip)
    held = (ratio * advantages > clipped * advantages).float().mean()
    assert 0.1 < held < 0.9
    error = policy.values(batch.observations) - batch.targets
    loss = (
        -torch.min(ratio * advantages, clipped * advantages).mean()
        + config.value_coefficient * 0.5 * error.square().mean()
        - config.entropy * policy.entropy(head).mean()
    )
    expected = flat(torch.autograd.grad(loss, list(policy.parameters())))
    ppo = PPO(config, policy, seed=0)
    with torch.no_grad():
        standard = dataclasses.replace(batch, advantages=advantages)
        ppo._gradient.compute(standard, lambda log_probs: ppo._surrogate_gradient(standard, log_probs))
    torch.testing.assert_close(gradients(policy), expected, atol=1e-6, rtol=1e-4)


def test_log_likelihood_gradient_agrees_with_autograd(policy, batch):
    """A2C's loss: -log pi A."""
    head = policy.head(batch.observations)
    error = policy.values(batch.observations) - batch.targets
    loss = (
        -(policy.log_prob(head, batch.actions) * batch.advantages).mean()
        + 0.25 * error.square().mean()
        - 0.01 * policy.entropy(head).mean()
    )
    expected = flat(torch.autograd.grad(loss, list(policy.parameters())))
    gradient = LossGradient(policy, entropy=0.01, value_coefficient=0.5)
    with torch.no_grad():
        gradient.compute(batch, lambda _: -batch.advantages)
    torch.testing.assert_close(
        gradient.parameters.gradient, gradient.parameters.flatten(p.grad for p in policy.parameters())
    )
    torch.testing.assert_close(gradients(policy), expected, atol=1e-6, rtol=1e-4)


def test_flat_parameters_are_the_modules_own():
    layer = nn.Linear(2, 1)
    before = layer(torch.ones(1, 2)).item()
    parameters = FlatParameters(layer.parameters())
    assert layer(torch.ones(1, 2)).item() == before
    with torch.no_grad():
        parameters.vector.zero_()
    assert layer(torch.ones(1, 2)).item() == 0.0


@pytest.mark.parametrize(("norm", "expected"), [(10.0, 0.5), (0.1, 0.1)])
def test_a_gradient_is_clipped_to_a_norm_and_a_small_one_is_left_alone(norm, expected):
    layer = nn.Linear(3, 1)
    parameters = FlatParameters(layer.parameters())
    for parameter in layer.parameters():
        parameter.grad.fill_(norm / math.sqrt(4))
    parameters.clip_gradient(0.5)
    assert parameters.gradient.norm().item() == pytest.approx(expected, rel=1e-4)
