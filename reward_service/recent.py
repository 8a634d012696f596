"""RecentSteps: what the agent does now, as far as the reward model's statistics need it.

Two windows on purpose. Inputs are normalised with the mean and deviation of *all* steps so far: a network's inputs
must not swing with the policy. Outputs are normalised over the *latest* steps: what the agent is paid must go on from
what it was paid, for what it does (normalisation.py).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from actors.frames import is_stack
from actors.spaces import ActionSpec
from reward_service.dataset import RewardDataError

_BLOCKS = 4  # that a ring of stacks holds, at least


class RecentSteps:
    """A ring of the latest `capacity` steps, and the mean and variance of every observation ever seen."""

    def __init__(self, capacity: int, observation_shape: tuple[int, ...], action_spec: ActionSpec) -> None:
        dtype = torch.int64 if action_spec.discrete else torch.float32
        self._pictured = is_stack(observation_shape)
        kind = torch.uint8 if self._pictured else torch.float32
        self._observations = torch.zeros(capacity, *observation_shape, dtype=kind)
        self._actions = torch.zeros(capacity, *action_spec.shape, dtype=dtype)
        self._next = 0
        self._filled = 0
        self.count = 0
        moments_of = () if self._pictured else observation_shape
        self._mean = torch.zeros(moments_of, dtype=torch.float64)
        self._squares = torch.zeros(moments_of, dtype=torch.float64)  # summed squared deviations

    def observe(self, observations: np.ndarray | Tensor, actions: np.ndarray | Tensor) -> None:
        """observations [..., *O] and executed actions [..., *A] of the same steps, oldest first.
        Raises RewardDataError, and takes nothing in, for other shapes or values that are not finite."""
        if self._pictured:
            observations, actions = self._thinned(observations, actions)
        seen = torch.as_tensor(observations).reshape(-1, *self._observations.shape[1:])
        done = torch.as_tensor(actions).reshape(-1, *self._actions.shape[1:])
        if len(seen) != len(done):
            raise RewardDataError(f"{len(seen)} observations and {len(done)} actions are not of the same steps")
        if not (bool(torch.isfinite(seen).all()) and bool(torch.isfinite(done).all())):
            raise RewardDataError(
                "the agent's observations or actions hold values that are not finite, which would spoil the reward "
                "model for good; find out why the environment or the policy made them"
            )
        if len(seen) == 0:
            return
        if self._pictured:
            self.count += len(seen)
        else:
            self._take_moments(seen)
        capacity = self.capacity
        seen, done = seen[-capacity:], done[-capacity:]
        places = (torch.arange(len(seen)) + self._next) % capacity
        self._observations[places] = seen.to(self._observations.dtype)
        self._actions[places] = done.to(self._actions.dtype)
        self._next = (self._next + len(seen)) % capacity
        self._filled = min(self._filled + len(seen), capacity)

    def go_on_from(self, mean: Tensor, std: Tensor, count: int) -> None:
        """Take `count` steps of this mean and deviation for seen, each of the observation's size; the ring stays empty.
        Of pictures only their number is kept."""
        self.count = count
        if not self._pictured:
            self._mean = mean.double().reshape(self._mean.shape)
            self._squares = std.double().reshape(self._mean.shape).square() * count

    def _thinned(
        self, observations: np.ndarray | Tensor, actions: np.ndarray | Tensor
    ) -> tuple[np.ndarray | Tensor, np.ndarray | Tensor]:
        """Of a block [T, B, ...] some steps, evenly spaced, so that the ring reaches back over several blocks: stacks
        are large, and neighbours nearly alike."""
        steps, envs = actions.shape[:2]
        every = max(1, math.ceil(steps * envs * _BLOCKS / len(self._observations)))
        rows = slice(every // 2 if steps > every // 2 else 0, None, every)
        return np.array(observations[rows]), actions[rows]

    @property
    def capacity(self) -> int:
        return len(self._observations)

    @property
    def observations(self) -> Tensor:
        """[R, *O] float32, or stacks of uint8, R <= capacity, in no particular order."""
        return self._observations[: self._filled]

    @property
    def actions(self) -> Tensor:
        """[R, *A], of the same steps."""
        return self._actions[: self._filled]

    @property
    def mean(self) -> Tensor:
        return self._mean

    @property
    def std(self) -> Tensor:
        return (self._squares / max(self.count, 1)).sqrt()

    def state_dict(self) -> dict[str, Any]:
        return {
            "observations": self.observations.clone(),
            "actions": self.actions.clone(),
            "next": self._next,
            "count": self.count,
            "mean": self._mean.clone(),
            "squares": self._squares.clone(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._filled, self._next, self.count = len(state["observations"]), state["next"], state["count"]
        self._observations[: self._filled] = state["observations"]
        self._actions[: self._filled] = state["actions"]
        self._mean, self._squares = state["mean"].clone(), state["squares"].clone()

    def _take_moments(self, seen: Tensor) -> None:
        """Pairwise update of mean and summed squares (Chan, Golub & LeVeque 1979): no loss of digits, any block."""
        block = seen.double()
        count, mean = len(block), block.mean(0)
        shift, total = mean - self._mean, self.count + count
        self._squares = self._squares + (block - mean).square().sum(0) + shift.square() * (self.count * count / total)
        self._mean = self._mean + shift * (count / total)
        self.count = total
