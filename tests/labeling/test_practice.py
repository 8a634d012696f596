"""Practice pairs: the better clip is better, on either side; and none where nothing can be known."""

from __future__ import annotations

import pytest

from labeling.practice import NUM_PAIRS, practice_pairs
from reward_service.comparisons import Answer
from reward_service.database import ComparisonDatabase
from tests.labeling.pool import offer_pairs

pytestmark = pytest.mark.redis


def test_the_better_clip_has_the_higher_true_return_and_sides_vary(database: ComparisonDatabase) -> None:
    offer_pairs(database, 8)
    seen: set[Answer] = set()
    for seed in range(4):
        pairs = practice_pairs(database, seed)
        assert len(pairs) == NUM_PAIRS
        for pair in pairs:
            assert (pair.left.true_return > pair.right.true_return) == (pair.better == Answer.LEFT)
            seen.add(pair.better)
    assert seen == {Answer.LEFT, Answer.RIGHT}
    assert database.counts()["leases"] == 0


def test_with_few_clips_there_is_no_practice(database: ComparisonDatabase) -> None:
    offer_pairs(database, 2)
    assert practice_pairs(database, 0) == []
