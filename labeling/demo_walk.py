"""Walk: the agent's way through the small world, its trail, and the clips of its recent paths.

walk = Walk(config.size, config.goal)
walk.step(policy, version)             # one agent step; of every CLIP_STEPS a clip, but for an episode's last few
"""

from __future__ import annotations

import hashlib
from collections import deque

import numpy as np

from actors.small_world import SmallWorld
from actors.trajectory import Clip, Segment
from labeling.demo_policy import Policy

Array = np.ndarray

CLIP_STEPS = 5
RECENT_CLIPS = 100
TRAIL_STEPS = 12


class Walk:
    """clips: the recent ones, oldest first. visits: of each how often it was in which cell, [C]. trail: the cells where
    the agent has just been."""

    def __init__(self, size: int, goal: tuple[int, int]) -> None:
        self._world = SmallWorld(size, goal)
        self.grid = self._world.grid
        self.horizon = 4 * size
        self.num_steps = 0
        self.clips: deque[Clip] = deque(maxlen=RECENT_CLIPS)
        self.visits: deque[Array] = deque(maxlen=RECENT_CLIPS)
        self.trail: deque[int] = deque([self.cell], maxlen=TRAIL_STEPS)
        self._path: list[tuple[int, int]] = []  # (cell, action) of the clip under way
        self._age_steps = 0

    @property
    def cell(self) -> int:
        """Where the agent is."""
        return self._world.cell

    def step(self, policy: Policy, version: int) -> None:
        """One step by `policy`, which is told of it; clips are stamped with `version`."""
        cell, action = self.cell, policy.act(self.cell)
        self._world.step(action)
        self.num_steps += 1
        self._age_steps += 1
        self._path.append((cell, action))
        ended = self._age_steps >= self.horizon
        policy.saw(cell, action, self.cell, ended)
        if len(self._path) == CLIP_STEPS:
            self.clips.append(self._cut(version))
            self.visits.append(np.bincount([cell for cell, _ in self._path], minlength=self.grid.num_cells))
            self._path.clear()
        if ended:
            self._world.reset()
            self._age_steps = 0
            self._path.clear()
            self.trail.clear()
        self.trail.append(self.cell)

    def _cut(self, version: int) -> Clip:
        cells, actions = np.array(self._path).T
        observations = np.eye(self.grid.num_cells, dtype=np.float32)[cells]
        digest = hashlib.blake2b(np.ascontiguousarray(np.stack((cells, actions))).tobytes(), digest_size=16)
        true_return = float(self.grid.hidden_rewards[cells].sum())
        segment = Segment(observations, actions.astype(np.int64))
        return Clip(digest.hexdigest(), segment, np.empty((len(cells), 0), np.float32), true_return, version)
