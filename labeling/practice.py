"""Practice: a few pairs whose better clip is known, so that a new labeler learns the keys before anything counts.

They are made of clips that are stored already, the best of them against the worst by true return: no one need doubt the
answer. Nothing that is answered here is kept, and no lease is taken.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from actors.trajectory import Clip
from reward_service.comparisons import Answer
from reward_service.database import ComparisonDatabase

NUM_PAIRS = 3
_LOOK_AT = 64  # clips; a new labeler waits while they are fetched
_ENOUGH = 4 * NUM_PAIRS


@dataclass(frozen=True, eq=False)
class PracticePair:
    """Two clips as shown, and which of them is better."""

    left: Clip
    right: Clip
    better: Answer


def practice_pairs(database: ComparisonDatabase, seed: int) -> list[PracticePair]:
    """NUM_PAIRS pairs, or none where too few clips are stored or they are all alike. Sides are drawn by `seed`."""
    clips = list(database.get_clips(database.newest_clips(_LOOK_AT)).values())
    clips = sorted((clip for clip in clips if np.isfinite(clip.true_return)), key=lambda clip: clip.true_return)
    if len(clips) < _ENOUGH or clips[NUM_PAIRS - 1].true_return >= clips[-NUM_PAIRS].true_return:
        return []
    random = np.random.default_rng(seed)
    pairs: list[PracticePair] = []
    for index in range(NUM_PAIRS):
        worse, better = clips[index], clips[-1 - index]
        if random.random() < 0.5:
            pairs.append(PracticePair(better, worse, Answer.LEFT))
        else:
            pairs.append(PracticePair(worse, better, Answer.RIGHT))
    return pairs
