"""The policy's networks: tanh MLPs for what is measured, and the convolutions of Mnih et al. for what is pictured."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Literal, TypeVar

import torch
from torch import Tensor, nn

M = TypeVar("M", nn.Linear, nn.Conv2d)
Torso = Literal["mnih-2013", "mnih-2015"]

_CONVOLUTIONS: dict[str, tuple[tuple[tuple[int, int, int], ...], int]] = {
    "mnih-2013": (((16, 8, 4), (32, 4, 2)), 256),  # "Playing Atari with deep reinforcement learning", section 4.1
    "mnih-2015": (((32, 8, 4), (64, 4, 2), (64, 3, 1)), 512),  # "Human-level control ...", methods
}
"""(channels, kernel, stride) of each convolution, and the width of the layer after them."""


def mlp(sizes: list[int], last_gain: float) -> nn.Sequential:
    """tanh MLP, orthogonal weights (gain sqrt 2, `last_gain` at the end), zero biases."""
    layers: list[nn.Module] = []
    for index, (fan_in, fan_out) in enumerate(pairwise(sizes)):
        last = index == len(sizes) - 2
        linear = _initialised(nn.Linear(fan_in, fan_out), last_gain if last else math.sqrt(2))
        layers += [linear] if last else [linear, nn.Tanh()]
    return nn.Sequential(*layers)


class PictureTorso(nn.Sequential):
    """[N, K, H, W] in 0..1 -> [N, width] features, for an actor and a critic that share them."""

    def __init__(self, name: Torso, observation_shape: tuple[int, ...]) -> None:
        convolutions, self.width = _CONVOLUTIONS[name]
        channels, *size = observation_shape
        layers: list[nn.Module] = []
        for out, kernel, stride in convolutions:
            layers += [_initialised(nn.Conv2d(channels, out, kernel, stride), math.sqrt(2)), nn.ReLU(inplace=True)]
            channels, size = out, [(side - kernel) // stride + 1 for side in size]
        joined = _initialised(nn.Linear(channels * math.prod(size), self.width), math.sqrt(2))
        super().__init__(*layers, nn.Flatten(), joined, nn.ReLU(inplace=True))


def pictures(stacks: Tensor) -> Tensor:
    """Stacks of bytes [N, K, H, W] -> 0..1."""
    return stacks.to(torch.float32).div_(255.0)


def stacked_tensor(pictures: Tensor, depth: int, dim: int) -> Tensor:
    """Pictures [..., N + K - 1, ..., H, W] of consecutive steps, which are the axis `dim`, -> their stacks [..., N,
    ..., K, H, W], a view: `frames.stacked` for a tensor."""
    return pictures.unfold(dim, depth, 1).movedim(-1, -3)


def _initialised(layer: M, gain: float) -> M:
    nn.init.orthogonal_(layer.weight, gain)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer
