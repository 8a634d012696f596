"""A task that draws itself with NumPy alone, and pairs of its clips to label, for tests of pictures."""

from __future__ import annotations

import hashlib
import itertools
from typing import Any

import gymnasium
import numpy as np

from actors.clips import cut_clips
from actors.policy import ActorCritic, PolicyConfig
from actors.rollout import RolloutConfig, RolloutWorker
from actors.tasks import Preset, Task, make_task, register
from actors.trajectory import Clip
from reward_service.comparisons import Query
from reward_service.database import ComparisonDatabase

CLIP_STEPS = 10
DRIFTED: list[float] = []
"""What is put here moves every dot that is made afterwards: an environment that does not do the same again."""


class Dot(gymnasium.Env):
    """A dot between two walls, pushed left or right and by chance; it ends at a wall. Pays its place."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 20}  # noqa: RUF012 - gymnasium's own form
    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,))
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, render_mode: str | None = None, broken: bool = False) -> None:
        self.render_mode, self.broken = render_mode, broken
        self.place, self.luck = 0.0, 0.0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.place, self.luck = float(self.np_random.uniform(-0.3, 0.3)) + sum(DRIFTED), 0.0
        return self._seen(), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.luck = float(self.np_random.normal(0, 0.1))
        self.place += 0.15 * (2 * action - 1) + self.luck
        return self._seen(), self.place, abs(self.place) > 1, False, {}

    def _seen(self) -> np.ndarray:
        return np.array([self.place, self.luck], np.float32)

    def render(self) -> np.ndarray:
        if self.broken:
            raise ImportError("no module named 'paint'; pip install paint")
        picture = np.full((300, 480, 3), (242, 240, 234), np.uint8)
        picture[210:214] = (120, 110, 100)
        middle = round(240 + 200 * float(np.clip(self.place, -1, 1)))
        rows, columns = np.ogrid[:300, :480]
        picture[(rows - 190) ** 2 + (columns - middle) ** 2 < 20**2] = (30, 110, 200)
        return picture


class Blind(Dot):
    """It cannot draw itself."""

    metadata = {"render_modes": []}  # noqa: RUF012


for environment_id, kind, kwargs in (("Dot", Dot, {}), ("Blind", Blind, {}), ("Broken", Dot, {"broken": True})):
    if f"Twoclips{environment_id}-v0" not in gymnasium.registry:
        gymnasium.register(f"Twoclips{environment_id}-v0", kind, max_episode_steps=40, kwargs=kwargs)
TASK = "dot"
register(TASK, "TwoclipsDot-v0", Preset(40, CLIP_STEPS, instruction="The dot should be on the right."))


def dot_task() -> Task:
    """The task, with its clips and a picture of each step."""
    return make_task(TASK)


def dot_clips(rollouts: int = 3, seed: int = 0) -> list[Clip]:
    """What a worker acts, rollout after rollout, cut into clips."""
    task = dot_task()
    worker = RolloutWorker(task, PolicyConfig(), RolloutConfig(num_envs=3, steps=25), worker=0, seed=seed)
    weights = ActorCritic(PolicyConfig(), task.observation_shape, task.action).export(0)
    return [clip for _ in range(rollouts) for clip in cut_clips(*worker.step(weights), CLIP_STEPS, task.action)]


def offer_dots(database: ComparisonDatabase, count: int, seed: int = 0) -> list[str]:
    """Offers `count` queries about clips of the dot; their ids, the most wanted first."""
    clips = dot_clips(rollouts=1 + count, seed=seed)[: 2 * count]
    return _offer(database, list(zip(clips[::2], clips[1::2], strict=True)))


def offer_dots_again(database: ComparisonDatabase, count: int, clips: int) -> list[str]:
    """Offers `count` queries about no more than so many clips, each of which is asked about with several others."""
    few = dot_clips(rollouts=clips // 2)[:clips]
    return _offer(database, list(itertools.islice(itertools.combinations(few, 2), count)))


def _offer(database: ComparisonDatabase, pairs: list[tuple[Clip, Clip]]) -> list[str]:
    assert all(database.clips.put(list({clip.clip_id: clip for pair in pairs for clip in pair}.values())))
    queries = [
        Query(
            hashlib.sha256(f"{left.clip_id} {right.clip_id}".encode()).hexdigest()[:32],
            left.clip_id,
            right.clip_id,
            1.0 - index / len(pairs),
            1,
            0.0,
        )
        for index, (left, right) in enumerate(pairs)
    ]
    assert all(database.offer(queries))
    return [query.query_id for query in queries]
