"""Each kind of simulated person answers as its name says."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from labeling.people import JUDGES, SyntheticPool, UnknownPersonError, parse_people
from labeling.queue import QueryQueue
from reward_service.comparisons import Answer, Query
from reward_service.database import START, ComparisonDatabase
from tests.labeling.pool import one_step_clip


def _answers(kind: str, left: float, right: float, count: int = 2000) -> Counter[Answer]:
    dice = random.Random(1)
    return Counter(JUDGES[kind](left, right, dice) for _ in range(count))


def test_the_perfect_one_always_takes_the_better_clip() -> None:
    assert _answers("perfect", 2.0, 1.0) == {Answer.LEFT: 2000}
    assert _answers("perfect", 1.0, 2.0) == {Answer.RIGHT: 2000}
    assert _answers("perfect", 1.0, 1.0) == {Answer.TIE: 2000}


def test_the_adversary_always_takes_the_worse_one() -> None:
    assert _answers("adversary", 2.0, 1.0) == {Answer.RIGHT: 2000}


@pytest.mark.parametrize(
    ("kind", "answer", "share"),
    [
        ("mistaken", Answer.RIGHT, 0.1),
        ("skipping", Answer.INCOMPARABLE, 0.2),
        ("spammer", Answer.RIGHT, 0.5),
        ("noisy", Answer.RIGHT, 1 / (1 + 2.718281828)),
    ],
)
def test_how_often_the_others_do_not_take_the_better_left_clip(kind: str, answer: Answer, share: float) -> None:
    assert _answers(kind, 2.0, 1.0)[answer] / 2000 == pytest.approx(share, abs=0.03)


def test_the_left_biased_one_errs_to_the_left_only() -> None:
    assert _answers("left-biased", 2.0, 1.0) == {Answer.LEFT: 2000}
    assert _answers("left-biased", 1.0, 2.0)[Answer.LEFT] / 2000 == pytest.approx(0.4, abs=0.03)
    assert _answers("left-biased", 1.0, 1.0) == {Answer.LEFT: 2000}


def test_the_tie_loving_one_sees_small_differences_as_none() -> None:
    assert _answers("tie-loving", 1.5, 1.0) == {Answer.TIE: 2000}
    assert _answers("tie-loving", 3.0, 1.0) == {Answer.LEFT: 2000}


def test_people_are_written_as_kind_and_number() -> None:
    assert parse_people("perfect:2, spammer") == ["perfect", "perfect", "spammer"]


@pytest.mark.parametrize("text", ["", "nobody:2", "perfect:0", "perfect:x", "perfect:-1"])
def test_what_is_no_person_is_told_who_there_is(text: str) -> None:
    with pytest.raises(UnknownPersonError, match="left-biased"):
        parse_people(text)


def _offer(database: ComparisonDatabase, count: int, overlap: int = 1) -> None:
    database.clips.put(one_step_clip(f"clip{n}", float(n)) for n in range(2 * count))
    queries = [Query(f"q{n}", f"clip{2 * n}", f"clip{2 * n + 1}", 0.0, 0, 0.0) for n in range(count)]
    database.offer(queries, overlap=overlap)


def _pool(database: ComparisonDatabase, kinds: list[str]) -> SyntheticPool:
    return SyntheticPool(kinds, QueryQueue(database.client, database.run_id), database, seed=0)


@pytest.mark.redis
def test_a_pool_takes_turns_also_after_it_was_started_again(database: ComparisonDatabase) -> None:
    _offer(database, 14)
    kinds = ["perfect", "perfect", "adversary"]
    assert _pool(database, kinds).step(4) == 4
    assert _pool(database, kinds).step() == 10
    assert _pool(database, kinds).step() == 0
    labels = database.labels_since(START)[0]
    assert [label.labeler for label in labels] == (["perfect-0", "perfect-1", "adversary-2"] * 5)[:14]
    for label in labels:  # the clip on the right returns more
        assert label.answer is (Answer.LEFT if label.labeler == "adversary-2" else Answer.RIGHT)


@pytest.mark.redis
def test_the_short_sighted_one_goes_by_how_a_clip_ends(database: ComparisonDatabase) -> None:
    better, later = one_step_clip("better", 5.0, late_return=1.0), one_step_clip("later", 4.0, late_return=3.0)
    database.clips.put([better, later, one_step_clip("old", 2.0)])
    queries = [Query("q0", "better", "later", 0.0, 0, 0.0), Query("q1", "old", "better", 0.0, 0, 0.0)]
    database.offer(queries, overlap=2)
    assert _pool(database, ["short-sighted", "perfect"]).step() == 4
    given = {(label.query_id, label.labeler): label.answer for label in database.labels_since(START)[0]}
    assert given["q0", "perfect-1"] is Answer.LEFT
    assert given["q0", "short-sighted-0"] is Answer.RIGHT
    assert given["q1", "short-sighted-0"] is Answer.LEFT, "a clip that does not say how it ends is seen whole"


@pytest.mark.redis
def test_with_overlap_several_of_a_pool_answer_each_query_and_nobody_twice(database: ComparisonDatabase) -> None:
    _offer(database, 5, overlap=3)
    assert _pool(database, ["perfect"] * 4).step() == 15
    labels = database.labels_since(START)[0]
    assert len({(label.query_id, label.labeler) for label in labels}) == 15
    assert Counter(label.query_id for label in labels) == {f"q{n}": 3 for n in range(5)}
    assert not any(label.surplus for label in labels)
    assert database.num_open_queries() == 0


@pytest.mark.redis
def test_who_is_given_nothing_is_passed_over(database: ComparisonDatabase) -> None:
    _offer(database, 1, overlap=2)
    assert _pool(database, ["perfect"]).step() == 1  # the second answer must be somebody else's
    assert _pool(database, ["perfect", "perfect"]).step() == 1
    assert [label.labeler for label in database.labels_since(START)[0]] == ["perfect-0", "perfect-1"]


@pytest.mark.redis
def test_all_who_look_call_clips_alike_that_differ_by_no_more_than_the_threshold(database: ComparisonDatabase) -> None:
    _offer(database, 30)  # the clips of each pair differ by 1
    queue = QueryQueue(database.client, database.run_id)
    SyntheticPool(["perfect", "adversary", "spammer"], queue, database, seed=0, tie_threshold=1.0).step()
    given = Counter((label.labeler, label.answer) for label in database.labels_since(START)[0])
    assert given["perfect-0", Answer.TIE] == given["adversary-1", Answer.TIE] == 10
    assert given["spammer-2", Answer.TIE] == 0
