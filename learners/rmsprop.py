"""RMSProp as A2C was run with: epsilon inside of the root (Mnih et al. 2016, section 4):

    g <- alpha g + (1 - alpha) gradient^2,    parameters <- parameters - learning rate x gradient / sqrt(g + epsilon)

Why not `torch.optim.RMSprop`? It adds epsilon to the root. With 1e-5 and a gradient whose norm is clipped, inside of
the root it is nearly all there is, and a step is about as long as the gradient; outside it is nothing, and every
weight moves by about the learning rate. g begins with zeros. TensorFlow's, which the paper's authors used, begins with
ones: that makes the first thousand steps of their million shorter, and would all of a short run's.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class RMSProp:
    """Of one vector, whose `.grad` is there before each step."""

    def __init__(self, vector: nn.Parameter, alpha: float, epsilon: float) -> None:
        self._vector, self._alpha, self._epsilon = vector, alpha, epsilon
        self._squares = torch.zeros_like(vector, requires_grad=False)

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        gradient = self._vector.grad
        assert gradient is not None
        self._squares.mul_(self._alpha).addcmul_(gradient, gradient, value=1.0 - self._alpha)
        self._vector.addcdiv_(gradient, (self._squares + self._epsilon).sqrt_(), value=-learning_rate)

    def state_dict(self) -> dict[str, Tensor]:
        return {"squares": self._squares}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self._squares.copy_(state["squares"])
