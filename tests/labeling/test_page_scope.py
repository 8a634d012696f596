"""Pages that outlive what they were loaded for: the next run on the same port, and another person in the next tab."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from labeling.labelers import LabelerPool
from labeling.server import PoolConfig, make_app
from reward_service.database import ComparisonDatabase
from tests.labeling.browsing import Visit, listening, person, until
from tests.labeling.pool import TASK, offer_pairs

pytestmark = [pytest.mark.browser, pytest.mark.redis]

WAITING = """() => Object.keys(localStorage).filter((key) => key.startsWith("twoclips.outbox."))
  .map((key) => JSON.parse(localStorage.getItem(key)).scope)"""


class Port:
    """One address, at which one run's pages are served after another's."""

    def __init__(self, app: FastAPI) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


def _pages(database: ComparisonDatabase) -> FastAPI:
    return make_app(PoolConfig(database.run_id, TASK), database.client)


def _invited(database: ComparisonDatabase) -> FastAPI:
    return make_app(PoolConfig(database.run_id, TASK, invited_only=True), database.client)


def _two_runs(database: ComparisonDatabase) -> tuple[ComparisonDatabase, list[str]]:
    """Pairs for this run and for one that is served after it: that, and its queries."""
    following = ComparisonDatabase(database.client, f"{database.run_id}-next")
    offer_pairs(database, 8)
    return following, offer_pairs(following, 8, seed=1)


def test_a_page_left_open_takes_nothing_from_the_next_run_and_its_answers_wait_for_their_own(
    browser: Any, database: ComparisonDatabase
) -> None:
    following, theirs = _two_runs(database)
    port = Port(_pages(database))
    with listening(port) as address, person(browser, address) as page:
        page.hurried().open()
        page.context.route("**/api/answers", lambda route: route.abort())
        query = page.answer("left")
        page.reach(saved="1")
        port.app = _pages(following)
        page.context.unroute("**/api/answers")
        page.reach(saved="0", state="labeling")  # it has loaded itself anew
        until(lambda: page.data("query") in theirs, "a pair of the run that is served now")
        assert (database.num_labels(), following.num_labels()) == (0, 0)
        assert following.num_open_queries() == 8
        assert page.tab.evaluate(WAITING) == [f"{database.run_id} local"]
        page.answer("right")
        page.reach(saved="0")
        assert following.num_labels() == 1
        port.app = _pages(database)
        page.answer("right")  # what it claims next tells it
        until(lambda: database.num_labels() == 1, "the answer that waited for its run")
        assert [label.query_id for label in database.labels_since("0-0")[0]] == [query]


def test_a_page_left_open_that_nobody_touches_finds_out_by_its_heartbeat(
    browser: Any, database: ComparisonDatabase
) -> None:
    following, theirs = _two_runs(database)
    app = make_app(PoolConfig(database.run_id, TASK, lease_s=4.0), database.client)
    port = Port(app)
    with listening(port) as address, person(browser, address) as page:
        page.open()
        page.tab.evaluate("window.isOld = true")
        port.app = _pages(following)
        until(lambda: page.data("query") in theirs, "a pair of the run that is served now")
        assert page.tab.evaluate("window.isOld") is None, "the page was loaded anew, with what it says of the run"


def test_an_answer_never_goes_out_under_the_name_of_who_signed_in_later(
    database: ComparisonDatabase, visit: Callable[..., Visit], address: str
) -> None:
    offer_pairs(database, 12)
    page = visit().hurried().open()
    page.context.route("**/api/answers", lambda route: route.abort())
    page.answer("left")
    page.reach(saved="1")
    invite = LabelerPool(database.client, database.run_id).invite("anna")
    page.beside(f"{address}#invite={invite}").open()
    page.context.unroute("**/api/answers")
    page.reach(saved="0", state="labeling")
    assert page.tab.evaluate(WAITING) == [f"{database.run_id} local"]
    page.tab.bring_to_front()
    page.answer("right")
    page.reach(saved="0")
    assert [label.labeler for label in database.labels_since("0-0")[0]] == ["anna"]


def test_who_tries_an_invite_on_their_own_machine_signs_out_and_finds_their_own_answers_sent(
    database: ComparisonDatabase, visit: Callable[..., Visit], address: str
) -> None:
    offer_pairs(database, 12)
    page = visit().open()
    assert page.tab.is_hidden("#signed-in")
    page.context.route("**/api/answers", lambda route: route.abort())
    query = page.answer_in_vain("left")
    page.reach(saved="1")
    page.tab.on("dialog", lambda dialog: dialog.accept())  # leaving warns
    page.tab.goto("about:blank")
    page.tab.goto(f"{address}#invite={LabelerPool(database.client, database.run_id).invite('anna')}")
    page.reach(state="labeling", saved="0")
    assert page.text("labeler") == "anna"
    assert page.text("others") == "1 answer given without an invite waits here: sign out to send what waits."
    assert page.tab.is_hidden("#admin-link")
    page.answer("tie")
    page.reach(saved="1")
    page.tab.click("#sign-out")
    page.has_said("notice", "sign out when they are saved")
    page.context.unroute("**/api/answers")
    page.reach(saved="0")
    page.tab.click("#sign-out")
    page.tab.wait_for_selector("#admin-link", state="visible")
    until(lambda: database.num_labels() == 2, "the answer that waited for the local person")
    log = database.labels_since("0-0")[0]
    assert page.tab.is_hidden("#others")
    assert [label.labeler for label in log] == ["anna", "local"]
    assert log[1].query_id == query


def test_what_could_not_be_stored_is_not_lost_to_a_reload(browser: Any, database: ComparisonDatabase) -> None:
    following = ComparisonDatabase(database.client, f"{database.run_id}-next")
    offer_pairs(database, 12)  # more than one page holds: what it does is forgotten with it
    port = Port(_pages(database))
    with listening(port) as address, person(browser, address) as page:
        page.hurried()
        page.tab.add_init_script("""
            const store = Storage.prototype.setItem;
            Storage.prototype.setItem = function (key, value) {
              if (!key.startsWith("twoclips.practised")) throw new DOMException("full", "QuotaExceededError");
              store.call(this, key, value);
            };
        """)
        page.open()
        page.context.route("**/api/answers", lambda route: route.abort())
        page.answer("left")
        page.reach(saved="1")
        port.app = _pages(following)
        page.context.unroute("**/api/answers")
        page.reach(state="error", saved="1")
        page.has_said("cover-text", "leave the tab open")
        page.tab.evaluate("window.isOld = true")
        port.app = _pages(database)
        page.reach(saved="0")
        assert database.num_labels() == 1
        page.reach(state="labeling")
        assert page.tab.evaluate("window.isOld") is None, "it has loaded itself anew, once nothing could be lost"


def test_who_comes_back_under_another_name_is_told_whose_answers_wait(
    browser: Any, database: ComparisonDatabase
) -> None:
    """Their answers had not gone out when the session was over, and the next invite is for a new name."""
    offer_pairs(database, 12)
    pool = LabelerPool(database.client, database.run_id)
    with listening(_invited(database)) as address, person(browser, f"{address}#invite={pool.invite('anna')}") as page:
        page.hurried().open()
        page.context.route("**/api/answers", lambda route: route.abort())
        for _ in range(2):
            page.answer_in_vain("left")
        page.reach(saved="2")
        page.tab.on("dialog", lambda dialog: dialog.accept())  # leaving warns
        page.tab.goto("about:blank")
        page.tab.goto(f"{address}#invite={pool.invite('ben')}")
        page.reach(state="labeling", saved="0")
        page.has_said("others", "2 answers of anna wait here: ask for an invite under that name.")


def test_an_invite_opened_in_the_tab_of_who_is_signed_out_lets_them_in(
    browser: Any, database: ComparisonDatabase
) -> None:
    offer_pairs(database, 12)
    pool = LabelerPool(database.client, database.run_id)
    with listening(_invited(database)) as address, person(browser, f"{address}#invite={pool.invite('anna')}") as page:
        page.hurried().open()
        page.context.route("**/api/answers", lambda route: route.abort())
        page.answer("left")
        page.reach(saved="1")
        database.client.delete(f"{pool.prefix}sessions")
        page.context.unroute("**/api/answers")
        page.reach(state="error", saved="1")
        page.has_said("cover-title", "You are not signed in")
        page.tab.goto(f"{address}#invite={pool.invite('anna')}")  # the fragment changes, and nothing else
        page.reach(state="labeling", saved="0")
        assert [label.labeler for label in database.labels_since("0-0")[0]] == ["anna"]
        board = page.beside(address).look_at("run")
        page.context.clear_cookies()
        board.reach(state="shut")
        board.tab.goto(f"{address}run#invite={pool.invite('anna')}")
        board.reach(state="live")


def test_who_signs_in_in_another_tab_goes_on_in_this_one(browser: Any, database: ComparisonDatabase) -> None:
    offer_pairs(database, 12)
    pool = LabelerPool(database.client, database.run_id)
    with listening(_invited(database)) as address, person(browser, f"{address}#invite={pool.invite('anna')}") as page:
        page.hurried().open()
        board = page.beside(address).look_at("run")
        page.context.clear_cookies()
        page.tab.bring_to_front()
        page.answer("left")
        page.reach(state="error", saved="1")
        board.reach(state="shut")
        page.beside(f"{address}#invite={pool.invite('anna')}").open()
        page.tab.bring_to_front()
        page.reach(state="labeling", saved="0")
        board.reach(state="live")
        assert database.num_labels() == 1
