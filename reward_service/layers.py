"""The fully connected layers of all members as one differentiable function.

Why not leave the backward to autograd? A gradient step takes a sixth longer then (EXPERIMENTS.md, "What lies on its
back"): its gradient of the last layer, which has one output, makes what follows slow.
The twin in `tests/reward_service/test_layers.py` is autograd over the same layers.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


def members_mlp(features: Tensor, weights: list[Tensor], biases: list[Tensor], slope: float) -> Tensor:
    """features [E, R, F], weights each [E, in, out] and biases [E, 1, out], the last with one output -> [E, R].
    Leaky ReLUs of that slope (at least 0) are between the layers. It can be differentiated once."""
    return _MembersMLP.apply(features, slope, *weights, *biases)  # pyright: ignore[reportReturnType]


class _MembersMLP(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor, slope: float, *parameters: Tensor) -> Tensor:
        count = len(parameters) // 2
        weights, biases = parameters[:count], parameters[count:]
        is_kept = any(ctx.needs_input_grad)
        hidden, inputs = features, list[Tensor]()
        for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
            if is_kept:
                inputs.append(hidden)
            hidden = F.leaky_relu_(torch.baddbmm(bias, hidden, weight), slope)
        ctx.slope = slope
        if is_kept:
            ctx.save_for_backward(*inputs, hidden, *weights)
        # A sum of products: as a matrix product, one output wide, it takes four times as long.
        return (hidden * weights[-1].transpose(1, 2)).sum(-1) + biases[-1].squeeze(-1)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore
        count = len(ctx.saved_tensors) // 2
        inputs, weights = ctx.saved_tensors[:count], ctx.saved_tensors[count:]
        gradient = gradient.contiguous()  # [E, R]
        of_weights = [torch.bmm(gradient[:, None], inputs[-1]).transpose(1, 2)]
        of_biases = [gradient.sum(1).view(-1, 1, 1)]
        of_inputs = gradient[..., None] * weights[-1].transpose(1, 2)
        for index in range(count - 2, -1, -1):
            torch.ops.aten.leaky_relu_backward.grad_input(
                of_inputs, inputs[index + 1], ctx.slope, True, grad_input=of_inputs
            )
            of_weights.append(torch.bmm(inputs[index].transpose(1, 2), of_inputs))
            of_biases.append(of_inputs.sum(1, keepdim=True))
            if index or ctx.needs_input_grad[0]:
                of_inputs = torch.bmm(of_inputs, weights[index].transpose(1, 2))
        of_features = of_inputs if ctx.needs_input_grad[0] else None
        return of_features, None, *reversed(of_weights), *reversed(of_biases)
