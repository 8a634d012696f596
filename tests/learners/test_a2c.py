import copy

import pytest
import torch

from learners.a2c import A2C, A2CConfig

METRICS = {"policy_loss", "value_loss", "explained_variance", "entropy", "kl", "learning_rate"}


def test_an_update_is_one_rmsprop_step_on_the_loss_of_the_paper(policy, batch):
    twin = copy.deepcopy(policy)
    head = twin.head(batch.observations)
    error = twin.values(batch.observations) - batch.targets
    loss = (
        -(twin.log_prob(head, batch.actions) * (batch.targets - batch.values)).mean()
        + 0.5 * 0.5 * error.square().mean()
        - 0.01 * twin.entropy(head).mean()
    )
    loss.backward()
    torch.nn.utils.clip_grad_norm_(twin.parameters(), 0.5)
    with torch.no_grad():
        for parameter in twin.parameters():
            assert parameter.grad is not None
            parameter -= 7e-4 * parameter.grad / (0.01 * parameter.grad**2 + 1e-5) ** 0.5
    metrics = A2C(A2CConfig(), policy, seed=0).update(batch, 0.0)
    assert set(metrics) == METRICS
    for ours, theirs in zip(policy.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-3)


def test_the_learning_rate_falls_linearly(policy, batch):
    a2c = A2C(A2CConfig(learning_rate=1e-3), policy, seed=0)
    rates = [a2c.update(batch, progress)["learning_rate"] for progress in (0.0, 0.5, 1.0)]
    assert rates == pytest.approx([1e-3, 0.5e-3, 0.0])


def test_a_saved_a2c_continues_bit_for_bit(policy, batch):
    a2c = A2C(A2CConfig(), policy, seed=0)
    a2c.update(batch, 0.0)
    twin_policy = copy.deepcopy(policy)
    twin = A2C(A2CConfig(), twin_policy, seed=1)
    twin.load_state_dict(copy.deepcopy(a2c.state_dict()))
    assert a2c.update(batch, 0.1) == twin.update(batch, 0.1)
    assert (policy.export(0).vector == twin_policy.export(0).vector).all()
