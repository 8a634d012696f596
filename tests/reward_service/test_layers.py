from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from reward_service.layers import members_mlp

SLOPE = 0.2


def some_layers(members: int, *widths: int) -> tuple[list[Tensor], list[Tensor]]:
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=torch.float64, generator=generator).requires_grad_()

    pairs = list(itertools.pairwise(widths))
    return [draw(members, *pair) for pair in pairs], [draw(members, 1, out) for _, out in pairs]


def slow_twin(features: Tensor, weights: list[Tensor], biases: list[Tensor]) -> Tensor:
    """Member by member."""
    rows: list[Tensor] = []
    for member, hidden in enumerate(features):
        for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
            hidden = F.leaky_relu(hidden @ weight[member] + bias[member], SLOPE)
        rows.append((hidden @ weights[-1][member] + biases[-1][member]).squeeze(-1))
    return torch.stack(rows)


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("widths", [(4, 1), (4, 6, 1), (4, 6, 5, 1)])
def test_outputs_and_gradients_are_those_of_autograd(members: int, widths: tuple[int, ...]) -> None:
    weights, biases = some_layers(members, *widths)
    generator = torch.Generator().manual_seed(1)
    features = torch.randn(members, 20, widths[0], dtype=torch.float64, generator=generator).requires_grad_()
    upstream = torch.randn(members, 20, dtype=torch.float64, generator=generator)
    found, expected = members_mlp(features, weights, biases, SLOPE), slow_twin(features, weights, biases)
    torch.testing.assert_close(found, expected)
    wanted = [features, *weights, *biases]
    for one, other in zip(
        torch.autograd.grad((found * upstream).sum(), wanted),
        torch.autograd.grad((expected * upstream).sum(), wanted),
        strict=True,
    ):
        torch.testing.assert_close(one, other)


def test_features_that_all_members_share_are_only_looked_at() -> None:
    weights, biases = some_layers(3, 4, 6, 1)
    shared = torch.full((20, 4), -1.0, dtype=torch.float64)
    before = shared.clone()
    members_mlp(shared.expand(3, 20, 4), weights, biases, SLOPE).sum().backward()
    assert torch.equal(shared, before)
