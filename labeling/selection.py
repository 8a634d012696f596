"""Which pairs of clips to ask about: maths on arrays, nothing of ours.

Several candidates are drawn for every query (ten in the paper), and those on which the members disagree most are asked
(Christiano et al. 2017, section 2.2.4). `random` asks the first candidates: the paper's ablation. Gold pairs, of which
the better side is known, are those that differ most in what the labeler is to judge.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Array = np.ndarray

WIDE = 2.0
"""Standard deviations of the recent clips' values that the two sides of a gold pair are apart, at least. Of pairs drawn
at random a sixth are, if the values are normal; of the ten candidates for one query nearly always one."""


@dataclass(frozen=True, eq=False)
class Selection:
    """Chosen pairs [K, 2] of clip indices, the disagreement [K] of each, and its mean over the candidates that were not
    chosen: NaN where there are none, or no reward model yet."""

    pairs: Array
    disagreement: Array
    unasked_disagreement: float


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
    chosen, unasked = order[:count], scores[order[count:]]
    return Selection(unique[chosen], scores[chosen], float(unasked.mean()) if len(unasked) else float("nan"))


def widest_pairs(candidates: Array, taken: Array, values: Array, count: int) -> Array:
    """Up to `count` of the candidate pairs [C, 2], the widest gap between their `values` [M] first.

    None of the pairs `taken` [K, 2], no clip in two of them, and none less than WIDE apart: who watches cannot tell
    clips that hardly differ, however well it is known which is better."""
    finite = np.isfinite(values)
    spread = float(values[finite].std()) if finite.any() else 0.0
    with np.errstate(invalid="ignore"):
        gaps = np.abs(values[candidates[:, 0]] - values[candidates[:, 1]])
    gaps = np.where(np.isfinite(gaps), gaps, 0.0)
    used = {frozenset(pair) for pair in taken.tolist()}
    seen: set[int] = set()
    chosen: list[list[int]] = []
    for index in np.argsort(-gaps, kind="stable").tolist():
        pair = candidates[index].tolist()
        if len(chosen) == count or gaps[index] == 0.0 or gaps[index] < WIDE * spread:
            break
        if frozenset(pair) not in used and seen.isdisjoint(pair):
            chosen.append(pair)
            seen.update(pair)
    return np.array(chosen, candidates.dtype).reshape(-1, 2)
