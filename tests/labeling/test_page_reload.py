"""What outlives a reload of the labeling page, and what goes before, in a real browser."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from reward_service.database import START, ComparisonDatabase
from tests.labeling.browsing import Visit, person, served, until
from tests.labeling.paintings import TASK as PICTURES
from tests.labeling.paintings import offer_dots
from tests.labeling.pool import current_answers, offer_pairs

pytestmark = [pytest.mark.browser, pytest.mark.redis]

COUNT_CLOSED = """
window.letGo = 0;
const close = ImageBitmap.prototype.close;
ImageBitmap.prototype.close = function () {
  window.letGo += 1;
  close.call(this);
};
"""


def test_answers_are_taken_back_after_a_reload_too(database: ComparisonDatabase, visit: Callable[..., Visit]) -> None:
    offer_pairs(database, 4)
    page = visit().open()
    given = {page.answer(answer): answer for answer in ("left", "tie")}
    page.reach(saved="0")
    assert current_answers(database) == given
    page.tab.reload()
    page.reach(state="labeling")
    for count in (1, 0):
        assert not page.tab.is_disabled("button[data-action=undo]")
        page.tab.keyboard.press("z")
        page.has_said("notice", "Taken back")
        until(lambda count=count: len(current_answers(database)) == count, "the retraction")
    assert page.tab.is_disabled("button[data-action=undo]")
    assert page.text("yours") == "0"
    log, _ = database.labels_since(START)
    assert [label.retracts for label in log[2:]] == [label.label_id for label in reversed(log[:2])]


def test_the_pictures_of_a_pair_leave_the_memory_once_its_answer_is_stored(
    browser: Any, database: ComparisonDatabase
) -> None:
    offer_dots(database, 3)
    with served(database, PICTURES) as address, person(browser, address) as page:
        page.tab.add_init_script(COUNT_CLOSED)
        page.open()
        page.context.route("**/api/answers", lambda route: route.abort())
        page.answer("left")
        page.reach(saved="1")
        assert page.tab.evaluate("window.letGo") == 0, "it may have to be shown again"
        page.context.unroute("**/api/answers")
        page.reach(saved="0")
        page.answer("right")
        page.reach(saved="0")
        until(lambda: page.tab.evaluate("window.letGo") == 4, "both pairs' pictures to be let go, by either side")
        page.tab.keyboard.press("z")
        page.has_said("notice", "Taken back: right is better.")
