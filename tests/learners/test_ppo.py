import copy

import pytest
import torch

from learners.algorithm import Batch, standardise
from learners.ppo import PPO, PPOConfig

METRICS = {"policy_loss", "value_loss", "explained_variance", "entropy", "kl", "clipped", "epochs", "learning_rate"}


def on_policy(policy, batch):
    """The same transitions as if the present policy had acted."""
    with torch.no_grad():
        log_probs = policy.log_prob(policy.head(batch.observations), batch.actions)
    return Batch(batch.observations, batch.actions, log_probs, batch.advantages, batch.targets, batch.values)


def test_an_update_improves_the_surrogate_and_the_critic(policy, batch):
    batch = on_policy(policy, batch)
    value_loss = 0.5 * (batch.values - batch.targets).square().mean().item()
    metrics = PPO(PPOConfig(learning_rate=3e-3, minibatch=50), policy, seed=0).update(batch, 0.0)
    assert set(metrics) == METRICS
    assert metrics["policy_loss"] < -0.01
    assert metrics["value_loss"] < value_loss
    assert metrics["epochs"] == 10


def test_the_learning_rate_falls_linearly(policy, batch):
    ppo = PPO(PPOConfig(learning_rate=1e-3, final_learning_rate=0.1, epochs=1), policy, seed=0)
    rates = [ppo.update(batch, progress)["learning_rate"] for progress in (0.0, 0.5, 1.0)]
    assert rates == pytest.approx([1e-3, 0.55e-3, 0.1e-3])


def test_it_stops_early_beyond_the_target_kl(policy, batch):
    metrics = PPO(PPOConfig(learning_rate=0.1, target_kl=0.01), policy, seed=0).update(on_policy(policy, batch), 0.0)
    assert metrics["epochs"] < 10
    assert metrics["kl"] > 0.01


@pytest.mark.parametrize(
    ("minibatch", "sizes"),
    [(50, [50, 50, 50, 50]), (64, [66, 67, 67]), (199, [200]), (66, [66, 67, 67]), (300, [200])],
    ids=["divides", "a remainder of 8", "a remainder of 1", "a remainder of 2", "larger than the batch"],
)
def test_no_minibatch_is_a_small_remainder(monkeypatch, policy, batch, minibatch, sizes):
    ppo, seen = PPO(PPOConfig(minibatch=minibatch, epochs=1), policy, seed=0), []
    monkeypatch.setattr(ppo, "_descend", lambda part, learning_rate: seen.append(part.size))
    ppo.update(batch, 0.0)
    assert seen == sizes


def test_minibatches_of_one_transition_are_not_nan(policy, batch):
    metrics = PPO(PPOConfig(minibatch=1, epochs=1), policy, seed=0).update(batch.rows(0, 3), 0.0)
    assert all(value == value for value in metrics.values())


def test_standardised_advantages():
    standard = standardise(torch.tensor([1.0, 2.0, 3.0]))
    assert standard.mean().item() == pytest.approx(0, abs=1e-6)
    assert standard.std(correction=0).item() == pytest.approx(1, rel=1e-5)


def test_a_saved_optimiser_continues_bit_for_bit(policy, batch):
    ppo = PPO(PPOConfig(epochs=2, minibatch=64), policy, seed=3)
    ppo.update(batch, 0.0)
    twin_policy = copy.deepcopy(policy)
    twin = PPO(PPOConfig(epochs=2, minibatch=64), twin_policy, seed=99)
    twin.load_state_dict(copy.deepcopy(ppo.state_dict()))
    assert ppo.update(batch, 0.1) == twin.update(batch, 0.1)
    assert (policy.export(0).vector == twin_policy.export(0).vector).all()


def test_a_batch_selects_and_slices_all_its_columns_alike(batch):
    index = torch.tensor([5, 3])
    chosen, rows = batch.select(index), batch.rows(3, 6)
    assert (chosen.size, rows.size) == (2, 3)
    torch.testing.assert_close(chosen.observations[1], rows.observations[0])
    torch.testing.assert_close(chosen.targets[0], rows.targets[2])
