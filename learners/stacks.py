"""Stacks: N stacked observations that are kept as single pictures, and put together for those who look."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Stacks:
    """Observations of transitions as a Batch holds them, in place of a tensor; indexed like one.

    pictures  [M, H, W] uint8, of several rollouts, on the learner's device
    places    [N, K] int64, for each observation the rows of its pictures, the newest last
    """

    pictures: Tensor
    places: Tensor

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, rows: slice) -> Stacks:
        return Stacks(self.pictures, self.places[rows])

    def index_select(self, dim: int, index: Tensor) -> Stacks:
        return Stacks(self.pictures, self.places.index_select(dim, index))

    def stacked(self) -> Tensor:
        """[N, K, H, W] uint8, copied, and channels last: so convolutions are a third faster where a backward pass
        follows (EXPERIMENTS.md, "Atari"), and bytes are moved sooner than the floats that they become."""
        rows = self.places.flatten()
        # torch's CUDA kernel of index_select goes byte by byte, that of an index by sixteen; on a CPU it is the former
        # that copies whole pictures
        picked = self.pictures[rows] if self.pictures.is_cuda else self.pictures.index_select(0, rows)
        return picked.unflatten(0, self.places.shape).contiguous(memory_format=torch.channels_last)

    @classmethod
    def of_block(cls, pictures: Tensor, depth: int, steps: int) -> Stacks:
        """The observations of `steps` steps of B environments, in the order [steps, B], from a block of their pictures
        [steps + K - 1 or more, B, H, W]."""
        envs = pictures.shape[1]
        newest = torch.arange(steps * envs, device=pictures.device)
        before = torch.arange(depth, device=pictures.device) * envs
        return cls(pictures.flatten(0, 1), newest[:, None] + before)

    @classmethod
    def cat(cls, parts: list[Stacks]) -> Stacks:
        """All of them, in order."""
        starts = accumulate((len(part.pictures) for part in parts[:-1]), initial=0)
        places = [part.places + start for part, start in zip(parts, starts, strict=True)]
        return cls(torch.cat([part.pictures for part in parts]), torch.cat(places))
