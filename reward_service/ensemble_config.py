"""Which reward networks there are, without any library that runs them: see ensemble.py and numpy_rewards.py."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from actors.limits import within

OBSERVATION_CLIP = 10.0
"""Normalised observations are clipped to +-10 deviations: one state never seen before cannot blow up a reward."""


EPSILON = 1e-5
"""Added to a variance by batch normalisation."""

Torso = Literal["paper", "small"]


@dataclass(frozen=True)
class TorsoSpec:
    """What looks at pictures: the mean of `pool` x `pool` pixels, then (kernel, stride) of each convolution."""

    pool: int
    convolutions: tuple[tuple[int, int], ...]
    channels: int = 16


def pooled(pictures: np.ndarray, pool: int) -> np.ndarray:
    """[..., H, W] uint8 -> the means of `pool` x `pool` pixels, rounded: bytes again, so that they may be kept so."""
    if pool == 1:
        return pictures
    height, width = (side // pool for side in pictures.shape[-2:])
    cut = pictures[..., : height * pool, : width * pool].reshape(*pictures.shape[:-2], height, pool, width, pool)
    return ((cut.sum((-3, -1), dtype=np.uint16) + pool * pool // 2) // (pool * pool)).astype(np.uint8)


TORSOS: dict[str, TorsoSpec] = {
    "paper": TorsoSpec(1, ((7, 3), (5, 2), (3, 1), (3, 1))),  # Christiano et al. 2017, appendix A.2
    "small": TorsoSpec(2, ((5, 2), (3, 2), (3, 1), (3, 1))),  # a quarter of its arithmetic
}


@dataclass(frozen=True)
class EnsembleConfig:
    """members      E, 3 in the paper
    hidden       widths of the hidden layers; the paper's MuJoCo predictor is 64-64
    leaky_slope  slope of the leaky ReLU below zero
    input_noise  deviation of the Gaussian noise on normalised observations, in training only
    torso        what looks at pictures, if observations are pictures: see TORSOS. Actions are then not looked at
    dropout      share of a convolution's channels that are left out, in training only
    """

    members: int = 3
    hidden: tuple[int, ...] = (64, 64)
    leaky_slope: float = 0.01
    input_noise: float = 0.0
    torso: Torso = "paper"
    dropout: float = 0.5

    def __post_init__(self) -> None:
        within(self, members="[1, inf)", hidden="[1, inf)", leaky_slope="[0, inf)", input_noise="[0, inf)")
        within(self, dropout="[0, 1)")
        if not self.hidden:
            raise ValueError("hidden must name at least one layer of a reward network")
        if self.torso not in TORSOS:
            raise ValueError(f"a reward ensemble's torso is one of {', '.join(TORSOS)}, got {self.torso!r}")
