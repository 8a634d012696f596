from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reward_service.losses import accuracy, bradley_terry, return_regression


def slow_bradley_terry(first: float, second: float, mu: tuple[float, float], r: float) -> float:
    """One pair at a time: with probability r what was answered is right, else its opposite."""
    preferred = [1.0 / (1.0 + math.exp(second - first)), 1.0 / (1.0 + math.exp(first - second))]
    mixed = [r * p + (1 - r) * other for p, other in zip(preferred, reversed(preferred), strict=True)]
    return -sum(m * math.log(q) for m, q in zip(mu, mixed, strict=True) if m > 0)


def papers_bradley_terry(returns: torch.Tensor, mu: torch.Tensor) -> torch.Tensor:
    """P' = 0.9 P + 0.05, as the paper has it for everybody."""
    return -(mu * (0.9 * returns.softmax(-1) + 0.05).log()).sum(-1)


@settings(max_examples=100, deadline=None)
@given(
    first=st.floats(-15, 15),
    second=st.floats(-15, 15),
    mu=st.sampled_from([(1.0, 0.0), (0.0, 1.0), (0.5, 0.5)]),
    r=st.sampled_from([0.0, 0.2, 0.5, 0.7, 0.95, 1.0]),
)
def test_bradley_terry_equals_its_slow_twin(first: float, second: float, mu: tuple[float, float], r: float) -> None:
    returns = torch.tensor([first, second], dtype=torch.float64)
    fast = bradley_terry(returns, torch.tensor(mu, dtype=torch.float64), r).item()
    assert fast == pytest.approx(slow_bradley_terry(first, second, mu, r), rel=1e-9, abs=1e-9)


def test_each_row_has_a_reliability_of_its_own_and_the_papers_is_0_95() -> None:
    returns, mu = torch.randn(3, 5, 2, dtype=torch.float64), torch.tensor([1.0, 0.0]).double().expand(3, 5, 2)
    r = torch.rand(3, 5, dtype=torch.float64)
    together = bradley_terry(returns, mu, r)
    for e, n in ((0, 0), (1, 4), (2, 3)):
        alone = bradley_terry(returns[e, n], mu[e, n], r[e, n])
        torch.testing.assert_close(together[e, n], alone, rtol=1e-12, atol=0.0)  # one number is not rounded as many are
    assert torch.allclose(bradley_terry(returns, mu), papers_bradley_terry(returns, mu), rtol=1e-12)


@pytest.mark.parametrize("r", [0.0, 0.3, 0.5, 0.95, 1.0])
@pytest.mark.parametrize("difference", [0.0, 1e-6, 50.0, 1e3, 1e6])
def test_a_huge_difference_gives_a_finite_loss_and_gradient(difference: float, r: float) -> None:
    returns = torch.tensor(
        [[difference, 0.0], [0.0, difference], [difference / 2, -difference / 2]], requires_grad=True
    )
    mu = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.5, 0.5]])
    loss = bradley_terry(returns, mu, r)
    loss.sum().backward()
    assert returns.grad is not None
    assert torch.isfinite(loss).all()
    assert torch.isfinite(returns.grad).all()


def test_answers_at_random_teach_nothing_and_lies_are_read_the_other_way_round() -> None:
    returns = torch.tensor([[1.0, 0.2], [3.0, -2.0]], requires_grad=True)
    mu = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    loss = bradley_terry(returns, mu, torch.tensor([0.5, 0.5]))
    loss.sum().backward()
    assert returns.grad is not None
    assert returns.grad.abs().max() == 0.0
    assert torch.equal(bradley_terry(returns, mu, 0.1), bradley_terry(returns, mu.flip(-1), 0.9))


def test_unreliability_bounds_the_loss_and_its_pull() -> None:
    returns = torch.tensor([[0.0, 1e6]], requires_grad=True)
    loss = bradley_terry(returns, torch.tensor([[1.0, 0.0]]), 0.95)
    assert loss.item() == pytest.approx(-math.log(0.05), rel=1e-6)
    loss.sum().backward()
    assert returns.grad is not None
    assert returns.grad.abs().max() < 1e-6  # an answer that is surely wrong teaches nothing
    sure = bradley_terry(torch.tensor([1e6, 0.0]), torch.tensor([1.0, 0.0]), 0.95)
    assert sure.item() == pytest.approx(-math.log(0.95), rel=1e-6)


def test_a_tie_is_best_predicted_by_equal_returns() -> None:
    mu = torch.tensor([0.5, 0.5])
    equal = bradley_terry(torch.tensor([1.0, 1.0]), mu)
    assert equal.item() == pytest.approx(math.log(2))
    assert bradley_terry(torch.tensor([2.0, 1.0]), mu) > equal


def test_leading_axes_are_kept() -> None:
    returns, mu = torch.randn(3, 5, 2), torch.tensor([1.0, 0.0]).expand(3, 5, 2)
    loss = bradley_terry(returns, mu)
    assert loss.shape == (3, 5)
    assert torch.allclose(loss[2, 4], bradley_terry(returns[2, 4], mu[2, 4]))


def test_accuracy_leaves_ties_out_and_counts_an_undecided_model_half() -> None:
    returns = torch.tensor([[2.0, 1.0], [2.0, 1.0], [2.0, 1.0], [1.0, 1.0]])
    mu = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5], [1.0, 0.0]])
    right, judged = accuracy(returns, mu)
    assert (right.item(), judged.item()) == (1.5, 3.0)
    right, judged = accuracy(returns[2:3], mu[2:3])
    assert judged.item() == 0.0


def test_regression_is_on_normalised_returns() -> None:
    true_returns = torch.tensor([[100.0, 300.0]])
    mean, std = torch.tensor(200.0), torch.tensor(100.0)
    assert return_regression(torch.tensor([[-1.0, 1.0]]), true_returns, mean, std).item() == 0.0
    assert return_regression(torch.tensor([[0.0, 3.0]]), true_returns, mean, std).item() == pytest.approx(2.5)
    constant = return_regression(torch.zeros(1, 2), torch.full((1, 2), 7.0), torch.tensor(7.0), torch.tensor(0.0))
    assert constant.item() == 0.0
