"""Answers that are taken back on the labeling page, in a real browser, and what the log says then."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from reward_service.database import START, ComparisonDatabase
from tests.labeling.browsing import KEYS, Visit, refuse_answers, until
from tests.labeling.pool import current_answers, offer_pairs

pytestmark = [pytest.mark.browser, pytest.mark.redis]

MOST = 10


def test_the_last_ten_answers_can_be_taken_back_one_after_another_and_no_eleventh(
    database: ComparisonDatabase, visit: Callable[..., Visit]
) -> None:
    offer_pairs(database, 14)
    page = visit().open()
    given = {page.answer(answer): answer for answer in itertools.islice(itertools.cycle(KEYS), MOST + 2)}
    page.reach(saved="0")
    answers, end = database.labels_since(START)
    for count in range(1, MOST + 1):
        page.tab.keyboard.press("z")
        page.has_said("notice", "Taken back")
        until(lambda count=count: len(database.labels_since(end)[0]) == count, "the retraction to reach the log")
    assert page.tab.is_disabled("button[data-action=undo]")
    page.tab.keyboard.press("z")
    page.has_said("notice", "There is nothing to take back.")
    page.tab.wait_for_timeout(500)
    assert page.data("saved") == "0"
    retractions, _ = database.labels_since(end)
    assert [label.retracts for label in retractions] == [label.label_id for label in reversed(answers[2:])]
    assert current_answers(database) == dict(list(given.items())[:2])
    assert page.text("yours") == "2"


def test_an_answer_taken_back_comes_back_to_who_waits(
    database: ComparisonDatabase, visit: Callable[..., Visit]
) -> None:
    offer_pairs(database, 1)
    page = visit().open()
    query = page.answer("left")
    page.reach(state="waiting", saved="0")
    page.tab.keyboard.press("z")
    page.reach(state="labeling", query=query)
    page.answer("right")
    page.reach(saved="0")
    assert current_answers(database) == {query: "right"}


def test_what_was_refused_is_told_cannot_be_taken_back_and_is_not_counted(
    database: ComparisonDatabase, visit: Callable[..., Visit]
) -> None:
    offer_pairs(database, 4)
    page = visit().open()
    for status, reason, told in (
        (409, "the id was used before", "Not taken: the id was used before"),
        (410, "the lease is over", "too late"),
    ):
        refuse_answers(page, status, reason)
        page.answer("left")
        page.has_said("notice", told)
        assert page.data("saved") == "0"
    page.tab.keyboard.press("?")
    page.has_said("history", "too late")
    page.tab.keyboard.press("Escape")
    for _ in range(2):
        page.tab.keyboard.press("z")
        page.has_said("notice", "That answer had not been taken: nothing to take back.")
    assert page.text("yours") == "0"
    assert page.tab.is_disabled("button[data-action=undo]")
    assert database.labels_since(START)[0] == []
