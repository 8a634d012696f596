"""What a policy must know of a task's observation and action spaces, free of gymnasium's classes.

Specs travel inside messages and snapshots; gymnasium's spaces carry generators and do not belong there.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from gymnasium import spaces

from actors.failures import UsageError


class UnsupportedSpaceError(UsageError, ValueError):
    """The environment's observation or action space is of a kind that twoclips does not learn in."""


@dataclass(frozen=True)
class ActionSpec:
    """A Box of `size` coordinates (num_choices = 0), or a Discrete space of `num_choices` (size = 0)."""

    size: int
    num_choices: int
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()

    @property
    def discrete(self) -> bool:
        return self.num_choices > 0

    @property
    def num_features(self) -> int:
        """Width of an action as the reward model reads it: coordinates, or one-hot choices."""
        return self.num_choices or self.size

    @property
    def shape(self) -> tuple[int, ...]:
        return () if self.discrete else (self.size,)

    def executed(self, actions: np.ndarray) -> np.ndarray:
        """Sampled actions [..., A] -> what really reaches the environment, still in policy units: coordinates with two
        bounds clipped to [-1, 1], those with one to that. Discrete actions are returned as they are."""
        if self.discrete:
            return actions
        return np.clip(actions, *self._reach)

    def to_environment(self, actions: np.ndarray) -> np.ndarray:
        """Executed actions [..., A] in policy units -> the environment's own units."""
        if self.discrete or self._is_unit:
            return actions
        return actions * self._half + self._middle

    @cached_property
    def _bounded(self) -> np.ndarray:
        return np.isfinite(self.low) & np.isfinite(self.high)

    @cached_property
    def _reach(self) -> tuple[np.ndarray, np.ndarray]:
        least, most = np.where(self._bounded, -1.0, self.low), np.where(self._bounded, 1.0, self.high)
        return least.astype(np.float32), most.astype(np.float32)

    @cached_property
    def _half(self) -> np.ndarray:
        return np.array(
            [(hi - lo) / 2 if b else 1.0 for lo, hi, b in zip(self.low, self.high, self._bounded, strict=True)]
        )

    @cached_property
    def _middle(self) -> np.ndarray:
        return np.array(
            [(hi + lo) / 2 if b else 0.0 for lo, hi, b in zip(self.low, self.high, self._bounded, strict=True)]
        )

    @cached_property
    def _is_unit(self) -> bool:
        return bool(np.all(self._half == 1.0) and np.all(self._middle == 0.0))


def action_spec(space: spaces.Space[Any]) -> ActionSpec:
    """The spec of a gymnasium action space. Raises UnsupportedSpaceError for anything but Box and Discrete."""
    if isinstance(space, spaces.Discrete):
        return ActionSpec(size=0, num_choices=int(space.n))
    if isinstance(space, spaces.Box) and len(space.shape) == 1:
        return ActionSpec(
            size=space.shape[0],
            num_choices=0,
            low=tuple(float(x) for x in space.low),
            high=tuple(float(x) for x in space.high),
        )
    raise UnsupportedSpaceError(
        f"action space {space} is not supported: twoclips learns with a flat Box or a Discrete action space; "
        "wrap the environment (gymnasium.wrappers.FlattenObservation, TransformAction) and register the wrapper"
    )


def observation_shape(space: spaces.Space[Any]) -> tuple[int, ...]:
    """Shape of one observation. Raises UnsupportedSpaceError for anything but a flat Box."""
    if isinstance(space, spaces.Box) and len(space.shape) == 1:
        return tuple(space.shape)
    raise UnsupportedSpaceError(
        f"observation space {space} is not supported: twoclips learns from a Box of one axis; "
        "wrap the environment with gymnasium.wrappers.FlattenObservation and register the wrapper"
    )
