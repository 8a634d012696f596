"""gymnasium's environment with the observation of a task that shows it otherwise (`MujocoModel.own_view`).

A policy that was trained on `MujocoSimulator` can then be evaluated in gymnasium's environment, too.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np

from actors.mujoco import MODELS, MujocoModel

Array = np.ndarray


class _OwnView(gymnasium.ObservationWrapper[Array, Any, Array]):
    """gymnasium's environment of one world, seen as the task shows it."""

    def __init__(self, env: gymnasium.Env[Array, Any], spec: MujocoModel) -> None:
        super().__init__(env)
        self._spec = spec
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, self.observation(None).shape)

    def observation(self, observation: Any) -> Array:
        inner: Any = self.unwrapped
        return self._spec.observe({"qpos": inner.data.qpos[None], "qvel": inner.data.qvel[None]})[0]


def as_seen(env: gymnasium.Env[Any, Any], name: str | None) -> gymnasium.Env[Any, Any]:
    """gymnasium's environment with the observation of the MuJoCo task `name`, where that has one of its own."""
    return env if name is None or not MODELS[name].own_view else _OwnView(env, MODELS[name])
