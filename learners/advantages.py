"""Advantages and value targets: maths on arrays, nothing of ours.

`terminated` (nothing follows) and `truncated` (cut by the clock, so bootstrap) are kept apart throughout: the
caller puts the value of what would have followed into `next_values`, and only termination removes it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Array = np.ndarray


def gae(
    rewards: Array,
    values: Array,
    next_values: Array,
    terminated: Array,
    ended: Array,
    gamma: float,
    lambda_: float,
) -> Array:
    """Generalised advantage estimates [T, B] (Schulman et al. 2016, equation 16).

    rewards, values, next_values [T, B]: next_values[t] is the value of what step t led to, before any reset.
    terminated, ended [T, B] bool: `terminated` steps have no next value; after `ended` ones (terminated or
    truncated) the sum is not continued.
    """
    deltas = rewards + gamma * np.where(terminated, 0.0, next_values) - values
    decay = gamma * lambda_ * ~ended
    advantages = np.empty_like(deltas)
    running = np.zeros_like(deltas[0])
    for t in range(len(deltas) - 1, -1, -1):
        running = deltas[t] + decay[t] * running
        advantages[t] = running
    return advantages


@dataclass
class ValueScale:
    """Mean and standard deviation of value targets, followed slowly, so that the critic may speak in units near 1
    whatever the scale of the reward model of the day (PopArt: van Hasselt et al. 2016, section 2).

    A reward model that is refitted all the time changes the scale of returns; without this the critic chases it.
    """

    mean: float = 0.0
    std: float = 1.0
    rate: float = 0.2
    started: bool = False

    def update(self, targets: Array) -> None:
        """Move towards the statistics of `targets`; the first call takes them as they are."""
        exact = targets.astype(np.float64)  # single precision would cancel where the mean is far above the spread
        mean, second = float(exact.mean()), float((exact**2).mean())
        if self.started:
            old_second = self.std**2 + self.mean**2
            second = old_second + self.rate * (second - old_second)
            mean = self.mean + self.rate * (mean - self.mean)
        self.mean, self.std, self.started = mean, max(1e-4, second - mean * mean) ** 0.5, True


@dataclass
class RunningMoments:
    """Mean and variance [O] of everything seen so far (Chan et al. 1979, pairwise update)."""

    mean: Array
    variance: Array
    count: float = 0.0

    @classmethod
    def of_width(cls, width: int) -> RunningMoments:
        return cls(np.zeros(width), np.ones(width))

    def update(self, block: Array) -> None:
        """Take in `block` [N, O]."""
        count, mean = len(block), block.mean(0, dtype=np.float64)
        variance = block.var(0, dtype=np.float64)
        total = self.count + count
        delta = mean - self.mean
        squares = self.variance * self.count + variance * count + delta**2 * self.count * count / total
        self.mean = self.mean + delta * count / total
        self.variance, self.count = squares / total, total

    @property
    def std(self) -> Array:
        """Standard deviation [O], never below 1e-4: a constant coordinate stays a constant."""
        return np.sqrt(np.maximum(self.variance, 1e-8))
