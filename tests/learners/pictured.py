"""Rollouts of pictures, for whoever learns from them."""

from __future__ import annotations

import numpy as np

from actors.trajectory import Rollout

STEPS, ENVS, CHOICES = 6, 2, 4


def rollout(ends: tuple[tuple[int, int], ...] = (), worker: int = 0, depth: int = 3, side: int = 36) -> Rollout:
    """Of random pictures, seen in stacks of `depth`; `ends`: steps and environments."""
    random = np.random.default_rng(worker)
    truncated = np.zeros((STEPS, ENVS), bool)
    for t, env in ends:
        truncated[t, env] = True
    return Rollout(
        observations=random.integers(0, 256, (STEPS + depth, ENVS, side, side)).astype(np.uint8),
        actions=random.integers(0, CHOICES, (STEPS, ENVS)),
        log_probs=np.full((STEPS, ENVS), -1.4, np.float32),
        terminated=np.zeros_like(truncated),
        truncated=truncated,
        ends=np.argwhere(truncated),
        final_observations=random.integers(0, 256, (len(ends), side, side)).astype(np.uint8),
        policy_version=0,
        worker=worker,
    )
