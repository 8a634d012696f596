"""What waits in the browser of the labeling page, and what became of what was sent, in a real browser."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest

from reward_service.database import START, ComparisonDatabase
from tests.labeling.browsing import Visit, refuse_answers, until
from tests.labeling.pool import current_answers, offer_pairs

pytestmark = [pytest.mark.browser, pytest.mark.redis]


def test_where_no_network_is_up_answers_reach_the_server_on_this_machine(
    database: ComparisonDatabase, visit: Callable[..., Visit]
) -> None:
    """A browser without Wi-Fi says that it is offline, and reaches 127.0.0.1 all the same."""
    offer_pairs(database, 4)
    page = visit()
    page.tab.add_init_script("Object.defineProperty(Navigator.prototype, 'onLine', { get: () => false })")
    page.open()
    expected = {page.answer("left"): "left"}
    page.reach(saved="0")
    assert current_answers(database) == expected
    page.tab.keyboard.press("z")
    until(lambda: current_answers(database) == {}, "the retraction")


def test_an_answer_that_a_server_set_wrongly_turns_away_waits_until_it_is_set_right(
    database: ComparisonDatabase, visit: Callable[..., Visit]
) -> None:
    offer_pairs(database, 4)
    page = visit().hurried().open()
    expected = {}
    for status in (403, 404, 405):
        refuse_answers(page, status, f"the pages do not answer to this name, {status}")
        expected[page.answer("left")] = "left"
        page.has_said("saved-text", "1 waiting")
        assert f"do not answer to this name, {status}" in page.tab.get_attribute("#saved", "title")
        time.sleep(0.3)
        page.context.unroute("**/api/answers")
        page.reach(saved="0")
    assert current_answers(database) == expected
    for label in database.labels_since(START)[0]:
        assert json.loads(label.evidence)["waited_s"] >= 0.3


def test_an_answer_that_was_given_while_the_clock_was_ahead_is_sent_once_it_is_right(
    database: ComparisonDatabase, visit: Callable[..., Visit]
) -> None:
    offer_pairs(database, 4)
    page = visit().open()
    page.context.route("**/api/answers", lambda route: route.abort())
    page.answer_in_vain("left")
    page.reach(saved="1")
    page.tab.evaluate("""() => {
      const key = Object.keys(localStorage).find((key) => key.startsWith("twoclips.outbox."));
      const entry = JSON.parse(localStorage.getItem(key));
      const ahead = { ...entry, owner: "a tab that was closed", at: Date.now() + 86400000 };
      localStorage.setItem(key, JSON.stringify(ahead));
    }""")
    page.tab.reload()
    page.context.unroute("**/api/answers")
    page.reach(state="labeling", saved="0")
    assert database.num_labels() == 1


REFUSED = """() => Object.keys(localStorage).filter((key) => key.startsWith("twoclips.refused.")).sort()"""


def test_what_others_were_refused_is_not_told_as_mine_and_the_oldest_is_forgotten(
    database: ComparisonDatabase, visit: Callable[..., Visit]
) -> None:
    offer_pairs(database, 4)
    page = visit()
    lines = {
        f"twoclips.refused.{index:02}": {
            "id": f"{index:02}",
            "answer": "left",
            "at": 1000 + index,
            "state": "refused",
            "note": "of somebody else",
            "scope": "another-run local",
        }
        for index in range(30)
    }
    page.tab.add_init_script(
        f"for (const [key, line] of Object.entries({json.dumps(lines)})) "
        "if (!localStorage.getItem('seen')) localStorage.setItem(key, JSON.stringify(line));"
        "localStorage.setItem('seen', 'true');"
    )
    page.open()
    assert page.tab.evaluate(REFUSED) == [f"twoclips.refused.{index:02}" for index in range(10, 30)]
    refuse_answers(page, 400, "the body is not valid")
    page.answer("left")
    page.has_said("notice", "refused")
    page.tab.reload()
    page.reach(state="labeling")
    page.tab.keyboard.press("?")
    page.has_said("history", "the body is not valid")
    assert "of somebody else" not in page.text("history")
    assert len(page.tab.evaluate(REFUSED)) == 20
