"""PictureTorsos: what the members of an ensemble see in stacks of pictures.

The paper's predictor (Christiano et al. 2017, appendix A.2): four convolutions of 16 channels, each with batch
normalisation, leaky ReLU and dropout. Batch statistics are taken over all pictures of a call, so the two sides of a
pair share them, and so do the steps of a clip. Whoever scores uses the running ones, and nothing is dropped.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reward_service.ensemble_config import EPSILON, TORSOS

_MOMENTUM = 0.1  # of the running statistics
_AT_ONCE = 4096  # pictures that are pooled in one go: bounds memory, not the result


class PictureTorsos(nn.Module):
    """Parameters of all members lie side by side, E x 16 channels of them; each member's convolutions are its own.

    Why not one grouped convolution for all? A gradient step takes a quarter longer (EXPERIMENTS.md, "Member by
    member")."""

    def __init__(
        self, name: str, members: int, dropout: float, slope: float, shape: tuple[int, ...], generator: torch.Generator
    ) -> None:
        super().__init__()
        torso = TORSOS[name]
        self._members, self._dropout, self._slope, self._pool = members, dropout, slope, torso.pool
        channels, *size = shape
        size = [side // torso.pool for side in size]
        self.input_shape = (channels, *size)
        self._strides = [stride for _, stride in torso.convolutions]
        self.weights, self.scales, self.shifts = nn.ParameterList(), nn.ParameterList(), nn.ParameterList()
        for layer, (kernel, stride) in enumerate(torso.convolutions):
            bound = 1.0 / math.sqrt(channels * kernel * kernel)
            drawn = torch.rand(members * torso.channels, channels, kernel, kernel, generator=generator)
            self.weights.append(nn.Parameter((2 * drawn - 1) * bound))
            self.scales.append(nn.Parameter(torch.ones(members * torso.channels)))
            self.shifts.append(nn.Parameter(torch.zeros(members * torso.channels)))
            self.register_buffer(f"mean{layer}", torch.zeros(members * torso.channels))
            self.register_buffer(f"variance{layer}", torch.ones(members * torso.channels))
            channels, size = torso.channels, [(side - kernel) // stride + 1 for side in size]
        self.size = channels * math.prod(size)
        """Features of each picture and member."""

    def pooled(self, pictures: Tensor) -> Tensor:
        """Pictures of bytes [..., H, W], as seen or pooled already, -> pooled as by `ensemble_config.pooled`."""
        if pictures.shape[-2:] == self.input_shape[1:]:
            return pictures
        parts = pictures.flatten(0, -3).split(_AT_ONCE)
        means = (F.avg_pool2d(part.to(torch.float32), self._pool).add_(0.5).floor_() for part in parts)
        return torch.cat([each.to(torch.uint8) for each in means]).unflatten(0, pictures.shape[:-2])

    def inputs(self, stacks: Tensor) -> Tensor:
        """Stacks of bytes [R, K, H, W], as they were seen or pooled, -> [R, *input_shape] in 0..1."""
        seen = self.pooled(stacks).contiguous(memory_format=torch.channels_last)  # bytes are moved sooner than floats
        return seen.to(torch.float32).div_(255.0)

    def forward(self, inputs: Tensor, noise: torch.Generator | None) -> Tensor:
        """Inputs [R, *input_shape], the same for every member, or [E, R, *input_shape], each its own -> features
        [E, R, size]. With a generator as in training: batch statistics, and dropout drawn from it."""
        members = self._members
        seen = [inputs] * members if inputs.dim() == 4 else [*inputs]
        seen = [each.contiguous(memory_format=torch.channels_last) for each in seen]
        for layer, stride in enumerate(self._strides):
            kept = self._kept(seen[0], len(self.scales[layer]), noise)
            statistics = self.get_buffer(f"mean{layer}"), self.get_buffer(f"variance{layer}")
            columns = self.weights[layer], *statistics, self.scales[layer], self.shifts[layer]
            each_own = zip(*(column.chunk(members) for column in columns), strict=True)
            for member, (weight, mean, variance, scale, shift) in enumerate(each_own):
                hidden = F.conv2d(seen[member], weight, None, stride)
                hidden = F.batch_norm(hidden, mean, variance, scale, shift, noise is not None, _MOMENTUM, EPSILON)
                hidden = F.leaky_relu_(hidden, self._slope)
                seen[member] = hidden if kept is None else hidden * kept[member]
        return torch.stack([each.flatten(1) for each in seen])

    def _kept(self, like: Tensor, channels: int, noise: torch.Generator | None) -> Sequence[Tensor] | None:
        """Of each member [R, 16, 1, 1]: whole channels are dropped. Neighbouring pixels say nearly the same, so
        dropping single ones would hide little, and drawing them would cost as much as the convolution."""
        if noise is None or self._dropout == 0.0:
            return None
        drawn = torch.rand(len(like), channels, 1, 1, generator=noise)
        return ((drawn >= self._dropout).to(like) / (1.0 - self._dropout)).chunk(self._members, dim=1)
