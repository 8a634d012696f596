from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from learners.rmsprop import RMSProp


def test_each_weight_moves_by_its_gradient_over_the_root_of_its_mean_square_and_epsilon() -> None:
    vector = nn.Parameter(torch.tensor([1.0, -2.0]))
    optimiser = RMSProp(vector, alpha=0.9, epsilon=0.01)
    values, squares = [1.0, -2.0], [0.0, 0.0]
    for gradients in ([0.5, 3.0], [-0.1, 0.0], [0.2, -1.0]):
        vector.grad = torch.tensor(gradients)
        optimiser.step(learning_rate=0.1)
        for index, gradient in enumerate(gradients):
            squares[index] = 0.9 * squares[index] + 0.1 * gradient**2
            values[index] -= 0.1 * gradient / math.sqrt(squares[index] + 0.01)
    assert vector.tolist() == pytest.approx(values)


def test_a_weight_with_hardly_any_gradient_hardly_moves_however_long_it_goes_on() -> None:
    """Epsilon beside the root would move it by the learning rate each time."""
    vector = nn.Parameter(torch.zeros(1))
    optimiser = RMSProp(vector, alpha=0.99, epsilon=1e-5)
    vector.grad = torch.full((1,), 1e-5)
    for _ in range(2000):
        optimiser.step(learning_rate=1e-3)
    assert vector.item() == pytest.approx(-2000 * 1e-3 * 1e-5 / math.sqrt(1e-5), rel=1e-3)
