"""The gradient of a tanh MLP written out by hand, and parameters as one flat vector.

Why not autograd? At the sizes of these networks its bookkeeping costs more than the arithmetic: by hand one PPO
minibatch takes about a third of the time on one core (EXPERIMENTS.md, "learner"). The twin in
`tests/learners/test_gradient.py` is autograd itself.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class TanhMLP:
    """Forward and backward of `nn.Sequential(Linear, Tanh, ..., Linear)`, sharing its parameters.

    `backward` writes into the parameters' existing `.grad`, so that they may be views of one flat vector.
    """

    def __init__(self, layers: nn.Sequential) -> None:
        linears = [layer for layer in layers if isinstance(layer, nn.Linear)]
        self._weights = [(linear.weight, linear.bias) for linear in linears]
        self._inputs: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        """[N, in] -> [N, out]; remembers what backward needs."""
        self._inputs = [x]
        for weight, bias in self._weights[:-1]:
            x = torch.addmm(bias, x, weight.t()).tanh_()
            self._inputs.append(x)
        weight, bias = self._weights[-1]
        return torch.addmm(bias, x, weight.t())

    def backward(self, gradient: Tensor) -> None:
        """From d loss / d output [N, out] of the last forward to every parameter's `.grad`, overwritten."""
        for index in range(len(self._weights) - 1, -1, -1):
            (weight, bias), x = self._weights[index], self._inputs[index]
            torch.mm(gradient.t(), x, out=weight.grad)
            torch.sum(gradient, 0, out=bias.grad)
            if index:
                gradient = torch.ops.aten.tanh_backward(gradient.mm(weight), x)


class FlatParameters:
    """Parameters as views of one vector, and their gradients of another: one Adam step, one norm.

    Every view begins on a cache line; the gaps between them stay zero, and so do their gradients.
    """

    LINE = 16

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        parameters = list(parameters)
        starts = [0]
        for parameter in parameters:
            starts.append(starts[-1] + -(-parameter.numel() // self.LINE) * self.LINE)
        self.vector = nn.Parameter(parameters[0].new_zeros(starts[-1]).detach())
        self.gradient = torch.zeros_like(self.vector)
        self.vector.grad = self.gradient
        for start, parameter in zip(starts[:-1], parameters, strict=True):
            span = slice(start, start + parameter.numel())
            self.vector.data[span] = parameter.detach().reshape(-1)
            parameter.data = self.vector.data[span].view_as(parameter)
            parameter.grad = self.gradient[span].view_as(parameter)

    def flatten(self, tensors: Iterable[Tensor]) -> Tensor:
        """Tensors shaped like the parameters, laid out as the vector is; differentiable."""
        padded = (F.pad(tensor.reshape(-1), (0, -tensor.numel() % self.LINE)) for tensor in tensors)
        return torch.cat(list(padded))

    def clip_gradient(self, limit: float) -> None:
        """Scale the gradient down to a norm of at most `limit`."""
        self.gradient.mul_((limit / (self.gradient.norm() + 1e-6)).clamp(max=1.0))
