"""What is stored beside an answer: how long the person looked, and whether something else had their attention. Time
passes for the page as the test says."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from reward_service.database import START, ComparisonDatabase
from tests.labeling.browsing import FRAME_MS, Visit, until
from tests.labeling.pool import offer_pairs

pytestmark = [pytest.mark.browser, pytest.mark.redis]

FRAME_S = FRAME_MS / 1000

# Headless Chromium calls every tab visible: the page is told what it would be told.
HIDE = """isHidden => {
  Object.defineProperty(document, "hidden", { get: () => isHidden, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
  window.dispatchEvent(new Event(isHidden ? "blur" : "focus"));
}"""


@pytest.fixture
def page(database: ComparisonDatabase, visit: Callable[..., Visit]) -> Visit:
    """It has just shown a pair, the second one, for the first time."""
    offer_pairs(database, 6)
    page = visit(reduced_motion="reduce").open_with_time_stopped()  # nothing is drawn while time passes
    page.answer("left")
    return page


def look(page: Visit, seconds: float) -> None:
    page.let_pass(round(seconds / FRAME_S))


def stored(page: Visit, database: ComparisonDatabase) -> list[dict[str, Any]]:
    """The evidence of every answer, without that of the first."""
    page.reach(saved="0")
    return [json.loads(label.evidence) for label in database.labels_since(START)[0]][1:]


def test_the_time_to_an_answer_is_that_from_the_first_joint_frame_while_the_page_is_seen(
    page: Visit, database: ComparisonDatabase
) -> None:
    look(page, 0.8)
    page.tab.evaluate(HIDE, True)
    look(page, 2.0)
    page.tab.evaluate(HIDE, False)
    look(page, 0.4)
    page.answer("tie")
    look(page, 0.8)
    page.answer("right")
    hidden, seen = stored(page, database)
    assert hidden["response_s"] == pytest.approx(1.2, abs=2 * FRAME_S)
    assert hidden["focus_lost"] == 1, "a page that is hidden loses its focus, too: that is one loss"
    assert seen["response_s"] == pytest.approx(0.8, abs=2 * FRAME_S), "each pair has a time of its own"
    assert seen["focus_lost"] == 0


def test_a_page_that_loses_its_focus_and_stays_in_sight_goes_on_counting_and_says_how_often(
    page: Visit, database: ComparisonDatabase
) -> None:
    devtools = page.context.new_cdp_session(page.tab)
    devtools.send("Emulation.setFocusEmulationEnabled", {"enabled": False})  # Playwright's, for every tab at once
    page.tab.bring_to_front()
    until(lambda: page.tab.evaluate("document.hasFocus()"), "the focus")
    page.answer("left")
    other = page.context.new_page()
    for _ in range(2):
        other.bring_to_front()
        until(lambda: not page.tab.evaluate("document.hasFocus()"), "the focus to be lost")
        look(page, 0.4)
        page.tab.bring_to_front()
        until(lambda: page.tab.evaluate("document.hasFocus()"), "the focus")
    page.answer("right")
    page.answer("tie")
    *_, distracted, attentive = stored(page, database)
    assert distracted["focus_lost"] == 2
    assert distracted["response_s"] == pytest.approx(0.8, abs=2 * FRAME_S)
    assert attentive["focus_lost"] == 0
