"""Gallery: the newest clips, and what the newest reward model makes of every step of them."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from actors.trajectory import Clip
from reward_service.database import ComparisonDatabase
from reward_service.numpy_rewards import NumpyRewards
from reward_service.snapshot_header import SnapshotError

NUM_CLIPS = 6


class Gallery:
    """Of one run. Safe to share between threads; keeps the newest snapshot that it has read."""

    def __init__(self, database: ComparisonDatabase) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._version = 0
        self._rewards: NumpyRewards | None = None

    def newest(self) -> dict[str, Any]:
        """NUM_CLIPS clips, the newest first; `rewards` of their steps [L] as the agent is paid, less the mean over all,
        None before there is a reward model that fits them. (Less the mean: the agent's own zero is an average step of
        the untrained policy, and later on every step is above it.)"""
        rewards = self.newest_rewards()
        ids = self._database.clips.newest(NUM_CLIPS)
        clips = self._database.clips.readable(ids)
        paid = {clip_id: _paid(rewards, clip) for clip_id, clip in clips.items()}
        known = [each for each in paid.values() if each is not None]
        mean = np.concatenate(known).mean() if known else 0.0
        return {
            "reward_version": rewards.header.version if rewards else 0,
            "clips": [
                {
                    "clip_id": clip_id,
                    "policy_version": clips[clip_id].policy_version,
                    "rewards": None if (each := paid[clip_id]) is None else (each - mean).round(4).tolist(),
                }
                for clip_id in ids
                if clip_id in clips
            ],
        }

    def newest_rewards(self) -> NumpyRewards | None:
        """The newest reward model; None before there is one that can be read."""
        with self._lock:
            if self._database.snapshots.version() > self._version:
                newest = self._database.snapshots.get()
                if newest is not None:
                    self._version = newest[0]
                    self._rewards = _read(newest[1])
            return self._rewards


def _read(payload: bytes) -> NumpyRewards | None:
    try:
        return NumpyRewards.from_bytes(payload)
    except SnapshotError:  # of another twoclips: the clips are shown without it
        return None


def _paid(rewards: NumpyRewards | None, clip: Clip) -> np.ndarray | None:
    if rewards is None:
        return None
    try:
        return rewards.pay(clip.segment.stacks, clip.segment.actions).astype(np.float64)
    except SnapshotError:
        return None
