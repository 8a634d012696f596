"""Frames: what an agent sees of a screen, kept as single pictures of bytes and stacked where they are used.

An observation of three axes is K pictures [K, H, W] uint8, the newest last; of any other it is what it is. K - 1 of an
observation's pictures are those of the observation before it: so whoever keeps observations of consecutive steps keeps
one picture a step, and the K - 1 before the first.
"""

from __future__ import annotations

import numpy as np

Array = np.ndarray


def is_stack(observation_shape: tuple[int, ...]) -> bool:
    """Whether observations of this shape are stacks of pictures."""
    return len(observation_shape) == 3


def stack_depth(observation_shape: tuple[int, ...]) -> int:
    """K, pictures in an observation; 1 where an observation is kept as it is."""
    return observation_shape[0] if is_stack(observation_shape) else 1


def kept_shape(observation_shape: tuple[int, ...]) -> tuple[int, ...]:
    """Shape of what is kept of each step."""
    return observation_shape[1:] if is_stack(observation_shape) else observation_shape


def kept_dtype(observation_shape: tuple[int, ...]) -> type[np.generic]:
    return np.uint8 if is_stack(observation_shape) else np.float32


def stacked(pictures: Array, depth: int) -> Array:
    """Pictures [N + K - 1, ..., H, W] of consecutive steps -> their stacks [N, ..., K, H, W]: a view, not to be
    written to. For a depth of 1, which is no stack, what was given."""
    if depth == 1:
        return pictures
    return np.moveaxis(np.lib.stride_tricks.sliding_window_view(pictures, depth, axis=0), -1, -3)


class Sight:
    """What B environments show now, as a policy wants it: pushes of one picture each become stacks.

    The first picture fills the whole stack: there is nothing before it."""

    def __init__(self, observation_shape: tuple[int, ...], first: Array) -> None:
        self._depth = stack_depth(observation_shape)
        self._kept = np.repeat(first[None], self._depth, axis=0)

    def push(self, seen: Array) -> None:
        """What was seen [B, ...] after another step."""
        self._kept = np.concatenate((self._kept[1:], seen[None]))

    @property
    def observations(self) -> Array:
        """[B, *O], a view."""
        return self._kept[0] if self._depth == 1 else self._kept.swapaxes(0, 1)
