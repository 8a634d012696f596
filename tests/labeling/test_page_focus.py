"""Where the focus is on the labeling page, and what it says to those who do not see it, in a real browser."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from reward_service.database import ComparisonDatabase
from tests.labeling.browsing import Visit, refuse_answers, until
from tests.labeling.pool import clips_of, current_answers, keep_practice, offer_pairs

pytestmark = [pytest.mark.browser, pytest.mark.redis]

FOCUSED = "document.activeElement.dataset.action ?? document.activeElement.id"
PRACTICE = "**/api/practice"


def press_enter(page: Visit) -> None:
    shown = page.data("query")
    page.tab.keyboard.press("Enter")
    until(lambda: page.data("query") != shown, "what comes next")


def test_who_presses_the_focused_answer_until_there_is_none_keeps_the_focus(
    database: ComparisonDatabase, visit: Callable[..., Visit]
) -> None:
    offer_pairs(database, 3)
    page = visit().open()
    page.tab.focus("#answers [data-action=tie]")
    for _ in range(3):
        until(lambda: page.data("query") != "", "a pair")
        press_enter(page)
    page.reach(state="waiting", saved="0")
    assert page.tab.evaluate(FOCUSED) == "tie"
    assert page.tab.get_attribute("#answers [data-action=tie]", "aria-disabled") == "true"
    page.tab.keyboard.press("Enter")
    assert page.text("yours") == "3", "there is nothing to answer"
    page.tab.focus("button[data-action=undo]")
    for count in (2, 1, 0):
        page.tab.keyboard.press("Enter")
        until(lambda count=count: page.text("yours") == str(count), "an answer to be taken back")
    assert page.tab.evaluate(FOCUSED) == "undo"
    assert page.tab.is_disabled("button[data-action=undo]")
    until(lambda: current_answers(database) == {}, "the retractions")


def test_why_answers_wait_is_told_without_a_mouse_and_clips_are_named_as_they_stand(
    database: ComparisonDatabase, visit: Callable[..., Visit]
) -> None:
    offer_pairs(database, 3)
    page = visit().open()
    assert page.tab.inner_text("#saved-why") == ""
    refuse_answers(page, 503, "The server is away.")
    page.answer("left")
    page.has_said("saved-text", "1 waiting")
    assert page.tab.get_attribute("#saved-why", "role") == "status"
    assert page.tab.text_content("#saved-why") == "The server is away. They are kept in this browser."
    for width, names in ((390, ["Upper clip", "Lower clip"]), (1100, ["Left clip", "Right clip"])):
        page.tab.set_viewport_size({"width": width, "height": 844})
        page.drawn()
        canvases = page.tab.locator("#stage canvas").all()
        assert [canvas.get_attribute("aria-label") for canvas in canvases] == names


def test_after_each_pair_of_practice_the_instruction_has_the_focus(
    database: ComparisonDatabase, visit: Callable[..., Visit]
) -> None:
    """And a round that does not come leaves the one that is being done as it is."""
    offer_pairs(database, 2)
    keep_practice(database, clips_of(12, seed=1))
    page = visit().open("practice")
    page.context.route(PRACTICE, lambda route: route.abort())
    page.tab.keyboard.press("?")
    page.tab.click("#practise")
    page.has_said("notice", "No practice now. The server cannot be reached.")
    for number in (1, 2, 3):
        page.has_said("badge", f"Practice {number} of 3")
        page.drawn()
        page.tab.keyboard.press("ArrowLeft")
        page.has_said("notice", "by the task's own measure.")
        assert page.tab.evaluate(FOCUSED) == "next"
        page.tab.keyboard.press("Enter")
        assert page.tab.evaluate(FOCUSED) == "instruction"
    page.reach(state="labeling")
