"""Clips: segments cut out of rollouts, each with what redraws it later and its hidden return."""

from __future__ import annotations

import hashlib

import numpy as np

from actors.spaces import ActionSpec
from actors.trajectory import Clip, Hidden, Origin, Origins, Rollout, Segment


def cut_clips(rollout: Rollout, hidden: Hidden, clip_steps: int, action: ActionSpec) -> list[Clip]:
    """All clips of `clip_steps` that fit into the rollout side by side, none across an episode's end.

    A rollout shorter than a clip gives none; so do the steps left over at its end.
    """
    executed = action.executed(rollout.actions)
    origins = hidden.origins
    done = None if origins is None else np.concatenate((origins.earlier, executed))  # [P + T, B, *A]
    over = rollout.terminated | rollout.truncated
    clips: list[Clip] = []
    for env in range(over.shape[1]):
        start = 0
        for stop in [*(np.flatnonzero(over[:, env]) + 1), len(over)]:
            for first in range(start, stop - clip_steps + 1, clip_steps):
                rows = slice(first, first + clip_steps)
                origin = None if origins is None or done is None else _origin(origins, done, rows, env)
                clips.append(_cut(rollout, hidden, executed, rows, env, origin))
            start = int(stop)
    return clips


def _origin(origins: Origins, done: np.ndarray, rows: slice, env: int) -> Origin:
    seeds, ages = origins.seeds[rows, env], origins.ages[rows, env]
    starts = ages == 0
    starts[0] = True  # the start before the clip, if it was not at its first step
    first = len(origins.earlier) + rows.start
    return Origin(seeds[starts], done[first - ages[0] : first, env].copy())


def _cut(rollout: Rollout, hidden: Hidden, executed: np.ndarray, rows: slice, env: int, origin: Origin | None) -> Clip:
    # Copies: a view would keep the whole rollout alive, and pinned in the object store.
    segment = Segment(rollout.observations[rows, env].copy(), executed[rows, env].copy())
    states = hidden.states[rows, env].copy()
    digest = hashlib.blake2b(digest_size=16)
    for array in (segment.observations, segment.actions, states):
        digest.update(np.ascontiguousarray(array).data)
    return Clip(
        clip_id=digest.hexdigest(),
        segment=segment,
        states=states,
        true_return=float(hidden.true_rewards[rows, env].sum(dtype=np.float64)),
        policy_version=rollout.policy_version,
        origin=origin,
    )
