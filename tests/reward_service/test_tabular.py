from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from reward_service import losses
from reward_service.bootstrap import multiplicities
from reward_service.ensemble import disagreement as disagreement_of_returns
from reward_service.tabular import RELIABILITY, TabularConfig, TabularEnsemble, bradley_terry, disagreement


@pytest.mark.parametrize("reliability", [0.95, 0.7, 1.0])
def test_loss_and_gradient_are_those_of_the_torch_loss(reliability: float):
    random = np.random.default_rng(0)
    returns = torch.tensor(random.normal(0, 3, (40, 2)), requires_grad=True)
    first = random.choice([0.0, 0.5, 1.0], 40)
    expected = losses.bradley_terry(returns, torch.tensor(np.stack((first, 1 - first), -1)), reliability)
    (gradient,) = torch.autograd.grad(expected.sum(), returns)
    values = returns.detach().numpy()
    loss, slope = bradley_terry(values[:, 0] - values[:, 1], first, reliability)
    np.testing.assert_allclose(loss, expected.detach().numpy(), rtol=1e-9)
    np.testing.assert_allclose(slope, gradient[:, 0].numpy(), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(-slope, gradient[:, 1].numpy(), rtol=1e-9, atol=1e-12)


def test_differences_of_any_size_stay_finite():
    loss, slope = bradley_terry(np.array([-1e9, 1e9]), np.array([1.0, 1.0]))
    np.testing.assert_allclose(loss, [-math.log(1 - RELIABILITY), -math.log(RELIABILITY)])
    assert np.isfinite(slope).all()


def test_disagreement_is_that_of_the_ensemble():
    returns = np.random.default_rng(1).normal(size=(3, 20, 2))
    expected = disagreement_of_returns(torch.from_numpy(returns)).numpy()
    np.testing.assert_allclose(disagreement(returns[..., 0] - returns[..., 1]), expected, rtol=1e-6)


def _filled(seed: int = 1, members: int = 3, count: int = 400) -> tuple[TabularEnsemble, np.ndarray]:
    """Fitted to perfect answers about random visits; and what the answers were given by."""
    random = np.random.default_rng(7)
    truth = random.normal(size=9)
    ensemble = TabularEnsemble(TabularConfig(members), 9, seed)
    for index in range(count):
        visits = random.multinomial(4, np.full(9, 1 / 9), 2).astype(float)
        gap = (visits[0] - visits[1]) @ truth
        ensemble.add(f"label-{index}", f"query-{index}", visits, 0.5 if gap == 0 else float(gap > 0))
        ensemble.fit(5)
    return ensemble, truth


@pytest.mark.parametrize("members", [1, 3, 7])
def test_it_finds_what_the_answers_were_given_by(members: int):
    ensemble, truth = _filled(members=members)
    assert len(ensemble) == 400, "more than it has room for at first"
    assert np.corrcoef(ensemble.rewards, truth)[0, 1] > 0.97
    assert ensemble.loss() < 0.3


def test_every_member_has_a_sample_of_its_own_by_the_query():
    ensemble, _ = _filled(count=30)
    counts = np.array([multiplicities(f"query-{index}", 3, 1) for index in range(30)])
    np.testing.assert_array_equal(ensemble._counts[:30], counts)
    assert (counts == 0).any()
    alone = TabularEnsemble(TabularConfig(members=1), 9, 1)
    alone.add("label", "query-0", np.eye(9)[:2], 1.0)
    assert alone._counts[0] == 1


def test_the_same_seed_and_order_give_the_same_to_the_bit():
    np.testing.assert_array_equal(_filled()[0].members, _filled()[0].members)
    assert not np.array_equal(_filled()[0].members, _filled(seed=2)[0].members)


def test_what_is_taken_back_leaves_no_trace():
    with_it, without = (TabularEnsemble(TabularConfig(), 9, 1) for _ in range(2))
    random = np.random.default_rng(3)
    rows = [random.multinomial(4, np.full(9, 1 / 9), 2).astype(float) for _ in range(6)]
    for index, visits in enumerate(rows):
        with_it.add(f"label-{index}", f"query-{index}", visits, 1.0)
        with_it.fit(10)
        if index != 2:
            without.add(f"label-{index}", f"query-{index}", visits, 1.0)
    with_it.remove("label-2", 10)
    without.fit(50)
    np.testing.assert_array_equal(with_it.members, without.members)
    with_it.remove("label-2", 10)
    assert len(with_it) == 5


def test_without_comparisons_nothing_is_learned():
    ensemble = TabularEnsemble(TabularConfig(), 9, 1)
    before = ensemble.members.copy()
    ensemble.fit(10)
    np.testing.assert_array_equal(ensemble.members, before)
    assert ensemble.loss() == pytest.approx(math.log(2))


@pytest.mark.parametrize("members", [0, 17])
def test_a_wrong_number_of_members(members: int):
    with pytest.raises(ValueError, match="1 to 16 members"):
        TabularConfig(members)
