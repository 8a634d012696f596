"""Each kind of simulated person answers as its name says."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from labeling.people import JUDGES, UnknownPersonError, parse_people
from reward_service.comparisons import Answer


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


def test_the_tie_loving_one_sees_small_differences_as_none() -> None:
    assert _answers("tie-loving", 1.5, 1.0) == {Answer.TIE: 2000}
    assert _answers("tie-loving", 3.0, 1.0) == {Answer.LEFT: 2000}


def test_people_are_written_as_kind_and_number() -> None:
    assert parse_people("perfect:2, spammer") == ["perfect", "perfect", "spammer"]


@pytest.mark.parametrize("text", ["", "nobody:2", "perfect:0", "perfect:x", "perfect:-1"])
def test_what_is_no_person_is_told_who_there_is(text: str) -> None:
    with pytest.raises(UnknownPersonError, match="left-biased"):
        parse_people(text)
