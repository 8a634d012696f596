"""Clips: segments cut out of rollouts, each with what redraws it later and its hidden return."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from typing import Generic, TypeVar

import numpy as np

from actors.origins import Keyframe, Keyframes, Origin, Origins
from actors.spaces import ActionSpec
from actors.trajectory import Clip, Hidden, Rollout, Segment

T = TypeVar("T")

SHORT_SIGHT = 0.9
"""A short-sighted labeler's discount for every step after, as of B-Pref's myopic teacher (Lee et al. 2021)."""


class ShortRollouts(Generic[T]):
    """Keeps what each worker's rollouts brought until they are of a clip's length together. Where one does not follow
    the other, since a worker was replaced or a rollout was dropped, what was kept is forgotten."""

    def __init__(self, clip_steps: int) -> None:
        self._clip_steps = clip_steps
        self._kept: dict[int, tuple[int, int, list[T]]] = {}
        """By worker: the first step of what is kept, the one that follows it, and what those rollouts brought."""

    def add(self, rollout: Rollout, brought: T) -> list[T]:
        """All that is long enough with this, in order, and no longer kept; nothing until it is."""
        first, following, parts = self._kept.pop(rollout.worker, (0, -1, []))
        if following != rollout.first_step:
            first, parts = rollout.first_step, []
        following = rollout.first_step + len(rollout.log_probs)
        parts.append(brought)
        if following - first >= self._clip_steps:
            return parts
        self._kept[rollout.worker] = first, following, parts
        return []

    def forget(self) -> None:
        self._kept.clear()


class ClipCutter:
    """Cuts the clips of one run's rollouts as they come, short ones joined."""

    def __init__(self, clip_steps: int, action: ActionSpec) -> None:
        self._clip_steps, self._action = clip_steps, action
        self._short: ShortRollouts[tuple[Rollout, Hidden]] = ShortRollouts(clip_steps)

    def cut(self, rollout: Rollout, hidden: Hidden) -> list[Clip]:
        parts = self._short.add(rollout, (rollout, hidden))
        return cut_clips(*joined(parts), self._clip_steps, self._action) if parts else []

    def forget(self) -> None:
        self._short.forget()


def joined(parts: Sequence[tuple[Rollout, Hidden]]) -> tuple[Rollout, Hidden]:
    """Consecutive rollouts of one worker as one. Its policy version is the first one's: the oldest."""
    if len(parts) == 1:
        return parts[0]
    rollouts, hiddens = [rollout for rollout, _ in parts], [hidden for _, hidden in parts]
    first, depth = rollouts[0], rollouts[0].depth
    offsets = np.cumsum([0, *(len(each.log_probs) for each in rollouts[:-1])])
    rows = [each.observations[: len(each.log_probs)] for each in rollouts[:-1]]
    columns = {
        name: np.concatenate([getattr(each, name) for each in rollouts])
        for name in ("actions", "log_probs", "terminated", "truncated", "final_observations")
    }
    rollout = dataclasses.replace(
        first,
        observations=np.concatenate([*rows, rollouts[-1].observations]),
        ends=np.concatenate([each.ends + np.array((at, 0)) for each, at in zip(rollouts, offsets, strict=True)]),
        **columns,
    )
    assert rollout.depth == depth
    origins, keyframes = hiddens[0].origins, [each.keyframes for each in hiddens if each.keyframes is not None]
    if origins is not None:
        starts = [each.origins for each in hiddens if each.origins is not None]
        seeds, ages = (np.concatenate([getattr(each, name) for each in starts]) for name in ("seeds", "ages"))
        origins = Origins(seeds, ages, origins.earlier)
    hidden = Hidden(
        np.concatenate([each.true_rewards for each in hiddens]),
        np.concatenate([each.states for each in hiddens]),
        origins,
        Keyframes(
            np.concatenate([each.rows + at for each, at in zip(keyframes, offsets, strict=True)]),
            np.concatenate([each.states for each in keyframes]),
            np.concatenate([each.begun for each in keyframes]),
        )
        if keyframes
        else None,
    )
    return rollout, hidden


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
                if hidden.keyframes is not None:
                    origin = _keyframe(hidden.keyframes, executed, rows, env)
                clips.append(_cut(rollout, hidden, executed, rows, env, origin))
            start = int(stop)
    return clips


def _origin(origins: Origins, done: np.ndarray, rows: slice, env: int) -> Origin:
    seeds, ages = origins.seeds[rows, env], origins.ages[rows, env]
    starts = ages == 0
    starts[0] = True  # the start before the clip, if it was not at its first step
    first = len(origins.earlier) + rows.start
    return Origin(seeds[starts], done[first - ages[0] : first, env].copy())


def _keyframe(keyframes: Keyframes, executed: np.ndarray, rows: slice, env: int) -> Keyframe:
    latest = int(np.searchsorted(keyframes.rows, rows.start, side="right")) - 1
    start = int(keyframes.rows[latest])
    begun = keyframes.begun[start : rows.stop, env].copy()
    begun[0] = -1  # that start is within the kept state
    return Keyframe(keyframes.states[latest, env].copy(), executed[start : rows.start, env].copy(), begun)


def _cut(
    rollout: Rollout,
    hidden: Hidden,
    executed: np.ndarray,
    rows: slice,
    env: int,
    origin: Origin | Keyframe | None,
) -> Clip:
    # Copies: a view would keep the whole rollout alive, and pinned in the object store.
    seen = slice(rows.start, rows.stop + rollout.depth - 1)
    segment = Segment(rollout.observations[seen, env].copy(), executed[rows, env].copy())
    states = hidden.states[rows, env].copy()
    digest = hashlib.blake2b(digest_size=16)
    for array in (segment.observations, segment.actions, states):
        digest.update(np.ascontiguousarray(array).data)
    rewards = hidden.true_rewards[rows, env].astype(np.float64)
    return Clip(
        clip_id=digest.hexdigest(),
        segment=segment,
        states=states,
        true_return=float(rewards.sum()),
        policy_version=rollout.policy_version,
        origin=origin,
        late_return=float(rewards @ SHORT_SIGHT ** np.arange(len(rewards))[::-1]),
    )
