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
from actors.moments import RunningMoments
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
        self._moments = RunningMoments.of_shape(*(() if self._pictured else observation_shape))

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
            self._moments.count += len(seen)
        else:
            self._moments.update(seen.numpy())
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
        self._moments.count = count
        if not self._pictured:
            shape = self._moments.mean.shape
            self._moments.mean = mean.double().reshape(shape).numpy()
            self._moments.variance = std.double().reshape(shape).square().numpy()

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
    def count(self) -> int:
        """Steps seen so far."""
        return self._moments.count

    @property
    def mean(self) -> Tensor:
        """[*O], of all steps seen; [] where they are pictures, of which only the number is kept."""
        return torch.from_numpy(self._moments.mean)

    @property
    def std(self) -> Tensor:
        return torch.from_numpy(self._moments.std)

    def state_dict(self) -> dict[str, Any]:
        return {
            "observations": self.observations.clone(),
            "actions": self.actions.clone(),
            "next": self._next,
            **self._moments.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._filled, self._next = len(state["observations"]), state["next"]
        self._observations[: self._filled] = state["observations"]
        self._actions[: self._filled] = state["actions"]
        self._moments = RunningMoments.from_state(state)
