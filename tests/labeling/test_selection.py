from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from labeling.selection import candidate_pairs, select_pairs, widest_pairs


@given(st.integers(0, 2**32 - 1), st.integers(2, 20), st.integers(1, 50))
def test_candidates_are_pairs_of_different_clips(seed: int, num_clips: int, count: int) -> None:
    pairs = candidate_pairs(np.random.default_rng(seed), num_clips, count)
    assert pairs.shape == (count, 2)
    assert (pairs[:, 0] != pairs[:, 1]).all()
    assert pairs.min() >= 0
    assert pairs.max() < num_clips


def test_every_pair_is_as_likely_as_any_other() -> None:
    pairs = candidate_pairs(np.random.default_rng(0), 4, 120_000)
    counts = np.zeros((4, 4))
    np.add.at(counts, tuple(pairs.T), 1)
    np.testing.assert_allclose(counts[~np.eye(4, dtype=bool)], 10_000, rtol=0.05)


def spread(pairs: np.ndarray) -> np.ndarray:
    """A disagreement that grows with the distance of the two indices."""
    return np.abs(pairs[:, 0] - pairs[:, 1]).astype(float)


def test_the_greatest_disagreement_is_asked_first() -> None:
    candidates = np.array([[0, 1], [0, 5], [2, 4], [3, 0]])
    selection = select_pairs(candidates, spread, 2, by_disagreement=True)
    np.testing.assert_array_equal(selection.pairs, [[0, 5], [3, 0]])
    np.testing.assert_array_equal(selection.disagreement, [5, 3])
    assert selection.unasked_disagreement == (1 + 2) / 2


def test_random_selection_takes_the_first_and_still_measures() -> None:
    selection = select_pairs(np.array([[0, 1], [0, 5], [2, 4]]), spread, 2, by_disagreement=False)
    np.testing.assert_array_equal(selection.pairs, [[0, 1], [0, 5]])
    np.testing.assert_array_equal(selection.disagreement, [1, 5])
    assert selection.unasked_disagreement == 2


def test_no_pair_is_asked_twice_not_even_mirrored() -> None:
    selection = select_pairs(np.array([[0, 1], [1, 0], [0, 1], [2, 0]]), spread, 4, by_disagreement=True)
    assert len(selection.pairs) == 2


def test_without_a_reward_model_there_is_no_disagreement_to_tell() -> None:
    selection = select_pairs(np.array([[0, 1], [1, 2]]), None, 1, by_disagreement=True)
    np.testing.assert_array_equal(selection.pairs, [[0, 1]])
    assert np.isnan(selection.disagreement).all()
    assert np.isnan(selection.unasked_disagreement)


def test_gold_pairs_are_the_widest_that_are_left() -> None:
    random = np.random.default_rng(0)
    for _ in range(50):
        values = random.normal(size=12)
        values[random.integers(12, size=2)] = np.nan, values[0]
        candidates = candidate_pairs(random, 12, 30)
        taken = candidates[:4, ::-1]
        found = widest_pairs(candidates, taken, values, 3)
        slow: list[list[int]] = []
        while len(slow) < 3:  # the widest of what may still be chosen, looked for anew each time
            free = [
                pair
                for pair in candidates.tolist()
                if abs(values[pair[0]] - values[pair[1]]) >= 2 * np.nanstd(values)
                and sorted(pair) not in np.sort(taken, axis=1).tolist()
                and not {clip for other in slow for clip in other} & set(pair)
            ]
            if not free:
                break
            slow.append(max(free, key=lambda pair: abs(values[pair[0]] - values[pair[1]])))
        assert found.tolist() == slow
    nothing = np.empty((0, 2), np.int64)
    assert widest_pairs(candidates, nothing, np.ones(12), 3).shape == (0, 2)
    assert widest_pairs(candidates, nothing, np.where(np.arange(12) < 6, np.inf, -np.inf), 3).shape == (0, 2)
