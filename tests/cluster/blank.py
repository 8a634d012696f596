"""Rollouts of which nothing but their ends is of interest."""

from __future__ import annotations

import numpy as np

from actors.trajectory import Rollout


def blank_rollout(truncated: np.ndarray, first_step: int) -> Rollout:
    """Of worker 0, cut by the clock where `truncated` [T, B] says."""
    steps, envs = truncated.shape
    ends = np.argwhere(truncated)
    return Rollout(
        observations=np.zeros((steps + 1, envs, 1), np.float32),
        actions=np.zeros((steps, envs, 1), np.float32),
        log_probs=np.zeros((steps, envs), np.float32),
        terminated=np.zeros((steps, envs), bool),
        truncated=truncated,
        ends=ends,
        final_observations=np.zeros((len(ends), 1), np.float32),
        policy_version=0,
        worker=0,
        first_step=first_step,
    )
