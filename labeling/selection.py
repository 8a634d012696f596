"""Which pairs of clips to ask about: maths on arrays, nothing of ours.

Ten candidates are drawn for every query, and those on which the members disagree most are asked (Christiano et al.
2017, section 2.2.4). `random` asks the first candidates as they come: the paper's ablation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Selection:
    """Chosen pairs [K, 2] of clip indices, the disagreement [K] of each, and its mean over all candidates."""

    pairs: Array
    disagreement: Array
    candidate_disagreement: float


def candidate_pairs(random: np.random.Generator, num_clips: int, count: int) -> Array:
    """`count` pairs [count, 2] of different clip indices, uniform; the same pair may come twice."""
    first = random.integers(num_clips, size=count)
    second = (first + random.integers(1, num_clips, size=count)) % num_clips
    return np.stack((first, second), axis=1)


def select_pairs(
    candidates: Array, score: Callable[[Array], Array] | None, count: int, by_disagreement: bool
) -> Selection:
    """Choose `count` of the candidate pairs [C, 2], no unordered pair twice.

    `score` gives the disagreement [C] of pairs; without it (no reward model yet) every choice is as good as another.
    """
    _, first_seen = np.unique(np.sort(candidates, axis=1), axis=0, return_index=True)
    unique = candidates[np.sort(first_seen)]
    scores = np.full(len(unique), np.nan) if score is None else score(unique)
    order = np.argsort(-scores, kind="stable") if by_disagreement and score is not None else np.arange(len(unique))
    chosen = order[:count]
    mean = float(scores.mean()) if score is not None and len(scores) else float("nan")
    return Selection(unique[chosen], scores[chosen], mean)
