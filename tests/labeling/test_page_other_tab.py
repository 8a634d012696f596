"""What the labeling page learns of its answers that another tab has sent, in a real browser."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from reward_service.database import ComparisonDatabase
from tests.labeling.browsing import Visit, until
from tests.labeling.pool import offer_pairs

pytestmark = [pytest.mark.browser, pytest.mark.redis]

REMOVE_NEWEST = """() => {
  const keys = Object.keys(localStorage).filter((key) => key.startsWith("twoclips.outbox."));
  keys.sort((a, b) => JSON.parse(localStorage.getItem(a)).at - JSON.parse(localStorage.getItem(b)).at);
  localStorage.removeItem(keys.at(-1));
}"""


def test_an_answer_that_another_tab_sent_while_this_one_was_sending_is_told_as_saved(
    database: ComparisonDatabase, visit: Callable[..., Visit], address: str
) -> None:
    offer_pairs(database, 4)
    page = visit().open()
    held: list[Any] = []
    page.context.route("**/api/answers", lambda route: held.append(route))
    for _ in range(2):
        page.answer("left")
    until(lambda: len(held) == 1, "the first answer to be on its way")
    other = page.beside(address)
    other.tab.goto(f"{address}api/session")
    other.tab.evaluate(REMOVE_NEWEST)
    page.tab.bring_to_front()
    page.reach(saved="1")
    held[0].continue_()
    page.reach(saved="0")
    page.tab.keyboard.press("?")
    lines = page.tab.locator("#history li").all_inner_texts()
    assert [line.split()[-1] for line in lines] == ["saved", "saved"]
