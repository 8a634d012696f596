"""Practice: a few pairs whose better clip is known, so that a new labeler learns the keys before anything counts.

    practice = Practice(client, run_id)
    practice.keep(database, clips)         # the query actor, before it asks about any of them
    practice.pairs(database, seed=7)       # a server, for whoever wants to practise

A run keeps one set, for everybody and for good: the best of its first clips against the worst by true return, so that
no one need doubt the answer. Nobody is asked about these clips, so that nobody judges what they were told. Nothing that
is answered here is kept, and no lease is taken.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import redis

from actors.trajectory import Clip
from reward_service.comparisons import Answer
from reward_service.database import ComparisonDatabase
from reward_service.keys import load_script, run_prefix, text

NUM_PAIRS = 3
_ENOUGH = 4 * NUM_PAIRS


@dataclass(frozen=True, eq=False)
class PracticePair:
    """Two clips as shown, and which of them is better."""

    left: Clip
    right: Clip
    better: Answer


class Practice:
    """Of one run. The key is in the schema at the top of reward_service/database.py."""

    def __init__(self, client: redis.Redis, run_id: str) -> None:
        self._redis: Any = client
        self._prefix = run_prefix(run_id)
        self._keep = load_script(client, Path(__file__).with_name("practice.lua"))

    def keep(self, database: ComparisonDatabase, clips: Iterable[Clip]) -> frozenset[str]:
        """Ids of the clips that the run keeps for practice. Where it has none yet they are chosen from those of `clips`
        that no query names; none where these are too few or all alike. May be repeated."""
        chosen = [] if self._redis.exists(f"{self._prefix}practice") else _chosen(self._unnamed(clips))
        database.clips.put(chosen)
        return frozenset(map(text, self._keep([self._prefix], [clip.clip_id for clip in chosen])))

    def pairs(self, database: ComparisonDatabase, seed: int) -> list[PracticePair]:
        """The run's NUM_PAIRS pairs, without those that cannot be read; none where it has not kept any. Sides are drawn
        by `seed`."""
        ids = [text(clip_id) for clip_id in self._redis.lrange(f"{self._prefix}practice", 0, -1)]
        clips = database.clips.readable(ids)
        random = np.random.default_rng(seed)
        pairs: list[PracticePair] = []
        for better, worse in list(pairwise(ids))[::2]:
            if not {better, worse} <= clips.keys():
                continue
            if random.random() < 0.5:
                pairs.append(PracticePair(clips[better], clips[worse], Answer.LEFT))
            else:
                pairs.append(PracticePair(clips[worse], clips[better], Answer.RIGHT))
        return pairs

    def _unnamed(self, clips: Iterable[Clip]) -> list[Clip]:
        by_id = {clip.clip_id: clip for clip in clips}
        named = self._redis.hmget(f"{self._prefix}clips:refs", list(by_id)) if by_id else []
        return [clip for clip, queries in zip(by_id.values(), named, strict=True) if queries is None]


def _chosen(clips: Iterable[Clip]) -> list[Clip]:
    """The better and the worse clip of each pair, in turn; none where too few clips are there or they are all alike."""
    clips = sorted((clip for clip in clips if np.isfinite(clip.true_return)), key=lambda clip: clip.true_return)
    if len(clips) < _ENOUGH or clips[NUM_PAIRS - 1].true_return >= clips[-NUM_PAIRS].true_return:
        return []
    return [clip for index in range(NUM_PAIRS) for clip in (clips[-1 - index], clips[index])]
