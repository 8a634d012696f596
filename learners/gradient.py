"""The gradient of a tanh MLP written out by hand, and parameters as one flat vector.

Why not autograd? At the sizes of these networks its bookkeeping costs more than the arithmetic: by hand one PPO
minibatch takes about a third of the time on one core (EXPERIMENTS.md, "learner"). The twin in
`tests/learners/test_gradient.py` is autograd itself.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn


class TanhMLP:
    """Forward and backward of `nn.Sequential(Linear, Tanh, ..., Linear)`, sharing its parameters.

    `backward` writes into the parameters' existing `.grad`, so that they may be views of one flat vector.
    """

    def __init__(self, layers: nn.Sequential) -> None:
        self._linears = [layer for layer in layers if isinstance(layer, nn.Linear)]
        self._inputs: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        """[N, in] -> [N, out]; remembers what backward needs."""
        self._inputs = [x]
        for linear in self._linears[:-1]:
            x = torch.addmm(linear.bias, x, linear.weight.t()).tanh_()
            self._inputs.append(x)
        last = self._linears[-1]
        return torch.addmm(last.bias, x, last.weight.t())

    def backward(self, gradient: Tensor) -> None:
        """From d loss / d output [N, out] of the last forward to every parameter's `.grad`, overwritten."""
        for index in range(len(self._linears) - 1, -1, -1):
            linear, x = self._linears[index], self._inputs[index]
            assert linear.weight.grad is not None
            assert linear.bias.grad is not None
            torch.mm(gradient.t(), x, out=linear.weight.grad)
            torch.sum(gradient, 0, out=linear.bias.grad)
            if index:
                gradient = torch.ops.aten.tanh_backward(gradient @ linear.weight, x)


class FlatParameters:
    """Parameters as views of one vector, and their gradients of another: one Adam step, one norm."""

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        parameters = list(parameters)
        self.vector = nn.Parameter(torch.cat([p.detach().reshape(-1) for p in parameters]))
        self.gradient = torch.zeros_like(self.vector)
        self.vector.grad = self.gradient
        start = 0
        for parameter in parameters:
            stop = start + parameter.numel()
            parameter.data = self.vector.data[start:stop].view_as(parameter)
            parameter.grad = self.gradient[start:stop].view_as(parameter)
            start = stop

    def clip_gradient(self, limit: float) -> None:
        """Scale the gradient down to a norm of at most `limit`."""
        self.gradient.mul_((limit / (self.gradient.norm() + 1e-6)).clamp(max=1.0))
