"""Practice: one set of pairs for a run, kept for good, whose better clip is better on either side; none where nothing
can be known."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from starlette.testclient import TestClient

from labeling.practice import NUM_PAIRS, Practice
from reward_service.comparisons import Answer, Query
from reward_service.database import ComparisonDatabase
from tests.labeling.pool import clips_of, damage, keep_practice, offer_pairs

pytestmark = pytest.mark.redis


@pytest.fixture
def practice(database: ComparisonDatabase) -> Practice:
    return Practice(database.client, database.run_id)


def test_the_better_clip_has_the_higher_true_return_and_sides_vary(
    database: ComparisonDatabase, practice: Practice
) -> None:
    keep_practice(database, clips_of(16, seed=1))
    seen: set[Answer] = set()
    for seed in range(4):
        pairs = practice.pairs(database, seed)
        assert len(pairs) == NUM_PAIRS
        for pair in pairs:
            assert (pair.left.true_return > pair.right.true_return) == (pair.better == Answer.LEFT)
            seen.add(pair.better)
    assert seen == {Answer.LEFT, Answer.RIGHT}
    assert database.counts()["leases"] == 0


def test_what_is_kept_stays_whatever_else_is_seen_later(database: ComparisonDatabase, practice: Practice) -> None:
    kept = keep_practice(database, clips_of(16, seed=1))
    assert practice.keep(database, clips_of(16, seed=2)) == kept
    assert practice.keep(database, []) == kept
    offer_pairs(database, 8)
    shown = {clip.clip_id for pair in practice.pairs(database, 0) for clip in (pair.left, pair.right)}
    assert shown == kept


def test_a_labeler_who_asks_again_and_again_sees_six_clips_and_none_that_is_asked_about(
    client: TestClient, database: ComparisonDatabase
) -> None:
    """The clips of queries are the newest that are stored, and stay out of it."""
    keep_practice(database, clips_of(16, seed=1))
    offer_pairs(database, 16, seed=2)
    seen: set[str] = set()
    for _ in range(12):
        pairs = client.get("/api/practice").json()["pairs"]
        assert len(pairs) == NUM_PAIRS
        seen |= {json.dumps(pair[side]) for pair in pairs for side in ("left", "right")}
    assert len(seen) == 6


def test_a_pair_that_cannot_be_read_is_left_out(database: ComparisonDatabase, practice: Practice) -> None:
    kept = keep_practice(database, clips_of(16, seed=1))
    damage(database, min(kept))
    shown = [clip.clip_id for pair in practice.pairs(database, 0) for clip in (pair.left, pair.right)]
    assert len(shown) == len(set(shown)) == 2 * NUM_PAIRS - 2
    assert min(kept) not in shown


def test_clips_that_a_query_names_are_not_kept(database: ComparisonDatabase, practice: Practice) -> None:
    clips = clips_of(14, seed=1)
    database.clips.put(clips)
    best = max(clips, key=lambda clip: clip.true_return)
    worst = min(clips, key=lambda clip: clip.true_return)
    assert all(database.offer([Query("q", best.clip_id, worst.clip_id, 0.0, 0, 0.0)]))
    assert not practice.keep(database, clips) & {best.clip_id, worst.clip_id}


def test_what_is_kept_is_not_dropped_where_the_store_is_full(database: ComparisonDatabase, practice: Practice) -> None:
    kept = keep_practice(database, clips_of(12, seed=1))
    small = ComparisonDatabase(database.client, database.run_id, clip_budget_bytes=1)
    assert small.clips.put(clips_of(2, seed=2)) == [False, False]
    assert len(database.clips.get(kept)) == 6
    assert len(practice.pairs(database, 0)) == NUM_PAIRS


def test_where_the_store_takes_no_clips_there_is_no_practice(database: ComparisonDatabase, practice: Practice) -> None:
    full = ComparisonDatabase(database.client, database.run_id, clip_budget_bytes=1)
    assert practice.keep(full, clips_of(16, seed=1)) == frozenset()
    assert practice.pairs(full, 0) == []


def test_with_few_clips_or_such_that_are_all_alike_there_is_no_practice(
    database: ComparisonDatabase, practice: Practice
) -> None:
    few, alike = clips_of(8, seed=1), [replace(clip, true_return=1.0) for clip in clips_of(16, seed=2)]
    assert practice.keep(database, few) == practice.keep(database, alike) == frozenset()
    assert practice.pairs(database, 0) == []
