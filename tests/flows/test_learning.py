"""The whole loop learns, from comparisons alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from actors.tasks import Preset, make_task, register
from cluster.configure import make_config
from tests.cluster.runs import train

pytestmark = pytest.mark.redis


class Reach(gymnasium.Env[np.ndarray, np.ndarray]):
    """A point on a line, moved by at most 0.2 a step; it should stand at 0. Acting at random it drifts off."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (1,))
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,))

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self._x = self.np_random.uniform(-2, 2, 1)
        return self._x.astype(np.float32), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
        self._x = np.clip(self._x + 0.2 * action, -3, 3)
        return self._x.astype(np.float32), -float(abs(self._x[0])), False, False, {}


def at_random() -> float:
    """Mean return of 200 episodes of 50 random actions: a run's own first episodes are too few to tell."""
    env = Reach()
    env.action_space.seed(0)
    total = 0.0
    for seed in range(200):
        env.reset(seed=seed)
        total += sum(env.step(env.action_space.sample())[1] for _ in range(50))
    return total / 200


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_point_learns_to_stand_from_40_comparisons(tmp_path: Path, seed: int) -> None:
    if "Reach-v0" not in gymnasium.registry:
        gymnasium.register("Reach-v0", entry_point=Reach)
    register("reach", "Reach-v0", Preset(horizon=50, clip_steps=5))
    settings = {
        "in_process": True,
        "seed": seed,
        "labels": 40,
        "steps": 20_000,
        "rollout.num_envs": 8,
        "rollout.steps": 50,
        "ppo.minibatch": 100,
        "ppo.learning_rate": 1e-3,
        "ppo.epochs": 5,
        "loop.warmup_steps": 2000,
        "loop.pretrain_steps": 100,
        "reward.hidden": [32],
    }
    summary = train(tmp_path / "run", make_config(make_task("reach"), settings))
    assert at_random() < -45  # about -1 a step
    assert summary["true_return"] > -25  # getting there takes 5 steps, and costs about 8 by the best policy


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_half_cheetah_runs_after_200_comparisons(tmp_path: Path, seed: int) -> None:
    """The untrained policy returns about 0; from 200 comparisons and 300,000 steps it runs."""
    config = make_config(make_task("half-cheetah"), {"in_process": True, "seed": seed, "labels": 200, "steps": 300_000})
    summary = train(tmp_path / "run", config)
    assert summary["true_return"] > 500, json.dumps(summary)
