"""Advantages and value targets: maths on tensors, on whatever device they are, and nothing of ours. No number is asked
for on the way, so that a GPU is not waited for.

`terminated` (nothing follows) and `truncated` (cut by the clock, so bootstrap) are kept apart throughout: the
caller puts the value of what would have followed into `next_values`, and only termination removes it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor


def gae(
    rewards: Tensor,
    values: Tensor,
    next_values: Tensor,
    terminated: Tensor,
    ended: Tensor,
    gamma: float,
    lambda_: float,
) -> Tensor:
    """Generalised advantage estimates [T, B] (Schulman et al. 2016, equation 16).

    rewards, values, next_values [T, B]: next_values[t] is the value of what step t led to, before any reset.
    terminated, ended [T, B] bool: `terminated` steps have no next value; after `ended` ones (terminated or
    truncated) the sum is not continued.
    """
    deltas = rewards + gamma * next_values.masked_fill(terminated, 0.0) - values
    decay = gamma * lambda_ * (~ended).double()
    running, advantages = torch.zeros_like(decay[0]), list[Tensor]()
    for delta, kept in zip(reversed(deltas.unbind()), reversed(decay.unbind()), strict=True):
        running = delta + kept * running
        advantages.append(running)
    return torch.stack(advantages[::-1]).to(deltas.dtype)


@dataclass
class ValueScale:
    """Mean and standard deviation of value targets, followed slowly, so that the critic may speak in units near 1
    whatever the scale of the reward model of the day (PopArt: van Hasselt et al. 2016, section 2).

    A reward model that is refitted all the time changes the scale of returns; without this the critic chases it.
    `mean` and `std` [] are of double precision, on the device of the last targets.
    """

    mean: Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.float64))
    std: Tensor = field(default_factory=lambda: torch.ones((), dtype=torch.float64))
    rate: float = 0.2
    started: bool = False

    def update(self, targets: Tensor) -> None:
        """Move towards the statistics of `targets`; the first call takes them as they are."""
        exact = targets.double()  # single precision would cancel where the mean is far above the spread
        mean, second = exact.mean(), exact.square().mean()
        if self.started:
            old_second = self.std**2 + self.mean**2
            second = old_second + self.rate * (second - old_second)
            mean = self.mean + self.rate * (mean - self.mean)
        self.mean, self.std, self.started = mean, (second - mean * mean).clamp(min=1e-4).sqrt(), True

    def state_dict(self) -> dict[str, Any]:
        """In plain numbers."""
        return {"mean": float(self.mean), "std": float(self.std), "rate": self.rate, "started": self.started}

    def load_state_dict(self, state: dict[str, Any], device: torch.device) -> None:
        self.mean, self.std = (torch.tensor(state[n], dtype=torch.float64, device=device) for n in ("mean", "std"))
        self.rate, self.started = state["rate"], state["started"]
