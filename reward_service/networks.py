"""Which reward networks there are, without any library that runs them: see ensemble.py and numpy_rewards.py."""

from __future__ import annotations

from dataclasses import dataclass

OBSERVATION_CLIP = 10.0
"""Normalised observations are clipped to +-10 deviations: one state never seen before cannot blow up a reward."""


@dataclass(frozen=True)
class EnsembleConfig:
    """members      E, 3 in the paper
    hidden       widths of the hidden layers; the paper's MuJoCo predictor is 64-64
    leaky_slope  slope of the leaky ReLU below zero
    input_noise  deviation of the Gaussian noise on normalised observations, in training only
    """

    members: int = 3
    hidden: tuple[int, ...] = (64, 64)
    leaky_slope: float = 0.01
    input_noise: float = 0.0

    def __post_init__(self) -> None:
        if self.members < 1 or not self.hidden or min(self.hidden) < 1:
            raise ValueError(
                f"a reward ensemble needs at least one member and one hidden unit in every layer, "
                f"got members={self.members}, hidden={self.hidden}"
            )
        if self.input_noise < 0.0 or self.leaky_slope < 0.0:
            raise ValueError(
                f"input_noise and leaky_slope may not be negative, got {self.input_noise} and {self.leaky_slope}"
            )
