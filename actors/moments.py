"""RunningMoments: mean and variance of everything that an agent has seen, block by block."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

Array = np.ndarray


@dataclass
class RunningMoments:
    """Mean and variance [*O] of everything seen so far, in double precision (Chan, Golub & LeVeque 1979, pairwise
    update: no loss of digits, whatever the blocks)."""

    mean: Array
    variance: Array
    count: int = 0

    @classmethod
    def of_shape(cls, *shape: int) -> RunningMoments:
        """Of nothing seen: zero mean, unit variance."""
        return cls(np.zeros(shape), np.ones(shape))

    def update(self, block: Array) -> None:
        """Take in `block` [N, *O], N > 0."""
        count, mean = len(block), block.mean(0, dtype=np.float64)
        variance = block.var(0, dtype=np.float64)
        total = self.count + count
        delta = mean - self.mean
        squares = self.variance * self.count + variance * count + delta**2 * (self.count * count / total)
        self.mean = self.mean + delta * (count / total)
        self.variance, self.count = squares / total, total

    @property
    def std(self) -> Array:
        """Standard deviation [*O]; 0 for a coordinate that never changed."""
        return np.sqrt(self.variance)

    def state_dict(self) -> dict[str, Any]:
        """In tensors and plain numbers."""
        return {"mean": torch.tensor(self.mean), "variance": torch.tensor(self.variance), "count": self.count}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> RunningMoments:
        return cls(state["mean"].numpy().copy(), state["variance"].numpy().copy(), int(state["count"]))
