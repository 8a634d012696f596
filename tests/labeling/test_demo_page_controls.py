"""How the small world is steered: with a finger, by keyboard, and what its page says of a fault; in a real browser."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from labeling.demo_config import DemoConfig
from labeling.demo_player import Player
from tests.labeling.browsing import Visit, person, until
from tests.labeling.demos import served_demo

pytestmark = [pytest.mark.redis, pytest.mark.browser]

FOCUSED = "document.activeElement.dataset.action ?? document.activeElement.id"
PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
CHOSEN_KEYS = {"left": "x", "undo": "u"}


@pytest.fixture(name="demo")
def _demo(redis_url: str) -> Iterator[tuple[str, Player]]:
    with served_demo(redis_url, DemoConfig()) as demo:
        yield demo


@pytest.fixture
def player(demo: tuple[str, Player]) -> Player:
    return demo[1]


def world(player: Player) -> dict[str, Any]:
    return player.state()["worlds"][0]


def ask_me(page: Visit) -> None:
    page.tab.select_option("#speed", "0")
    page.tab.click("[data-preset=person]")
    until(lambda: page.data("query") != "", "a pair")


def swipe(page: Visit, by_x: int) -> None:
    box = page.tab.locator("#pair").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    touch = page.context.new_cdp_session(page.tab)
    touch.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": x, "y": y}]})
    for part in (0.3, 0.6, 1.0):
        point = {"x": x + part * by_x, "y": y}
        touch.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [point]})
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def test_on_a_phone_held_upright_a_swipe_goes_towards_the_better_path(browser: Any, demo: tuple[str, Player]) -> None:
    with person(browser, demo[0], **PHONE) as page:
        page.look_at("")
        for _ in range(40):
            demo[1].step()
        page.has_said("ask-text", "The oracle says")
        assert "er is better" not in page.text("ask-text")
        ask_me(page)
        for by_x, side in ((-100, "left"), (100, "right")):
            until(lambda: page.data("query") != "", "a pair")
            page.tab.locator("#pair").scroll_into_view_if_needed()
            with page.tab.expect_request("**/api/answers") as sent:
                swipe(page, by_x)
            assert sent.value.post_data_json["answer"] == side
            until(lambda: page.data("saved") == "0", "the answer to be stored")


def test_who_answers_by_keyboard_keeps_the_focus_and_no_key_does_two_things(
    browser: Any, demo: tuple[str, Player]
) -> None:
    player = demo[1]
    with person(browser, demo[0]) as page:
        chosen = json.dumps(json.dumps(CHOSEN_KEYS))
        page.tab.add_init_script(f"localStorage.setItem('twoclips.keys', {chosen})")
        page.look_at("")
        assert page.tab.get_attribute("#live-text", "role") == "status"
        assert page.tab.get_attribute("#live-why", "role") == "status"
        ask_me(page)
        run = player.run_id
        assert page.tab.inner_text("#reset") == "Reset", "that key means an answer"
        assert "U" in page.tab.inner_text("button[data-action=undo]")
        page.tab.focus("#answers [data-action=tie]")
        for count in (1, 2):
            until(lambda: page.data("query") != "", "a pair")
            page.tab.keyboard.press("Enter")
            until(lambda count=count: world(player)["labels"] == count, "the answer to be learned from")
            assert page.tab.evaluate(FOCUSED) == "tie"
        until(lambda: page.data("query") != "", "a pair")
        page.tab.evaluate("document.activeElement.blur()")
        page.tab.keyboard.press("x")
        until(lambda: world(player)["labels"] == 3, "the answer of the key that was chosen")
        assert page.tab.is_hidden("#confirm"), "it does not begin anew, too"
        wanted: list[str] = []
        page.tab.on("request", lambda request: wanted.append(request.url))
        for element in ("#speed", "#online", "#answers [data-action=tie]"):
            page.tab.eval_on_selector(element, "it => { it.closest('details')?.setAttribute('open', ''); it.focus(); }")
            for key in "pn":
                page.tab.keyboard.press(key)
        page.tab.click("#reset")
        assert not [url for url in wanted if "/api/demo/" in url]
        assert "3 answers" in page.text("confirm-text")
        page.tab.keyboard.press("Enter")  # the button that has the focus says no
        assert page.tab.is_hidden("#confirm")
        assert (player.run_id, page.data("playing")) == (run, "true")
        page.tab.click("#reset")
        page.tab.click("#confirm-yes")
        until(lambda: player.run_id != run, "a new session")
        assert world(player)["labels"] == 0


def test_a_fault_stops_the_demo_and_what_was_said_of_trouble_goes_with_it(
    browser: Any, demo: tuple[str, Player], monkeypatch: pytest.MonkeyPatch
) -> None:
    address = demo[0]
    player: Any = demo[1]
    monkeypatch.setattr("labeling.demo_player._AFTER_FAILURE_S", 0.01)
    session = player._sessions[0]
    step, changed = session.step, player._changed
    playing: list[bool] = []

    def fail(error: Exception) -> bool:
        raise error

    def note() -> None:
        if "fault" in player._trouble:
            playing.append(player._playing)
        changed()

    with person(browser, address) as page:
        page.look_at("")
        monkeypatch.setattr(session, "step", lambda: fail(redis.ConnectionError()))
        page.tab.click("#play")
        page.has_said("notice", "The database does not answer")
        monkeypatch.setattr(session, "step", step)
        until(lambda: page.text("notice") == "", "the trouble to be over")
        monkeypatch.setattr(player, "_changed", note)
        monkeypatch.setattr(session, "step", lambda: fail(ZeroDivisionError()))
        page.has_said("notice", "The demo stopped by a fault of its own")
        page.reach(playing="false")
        assert playing == [False], "it has stopped by the time that is told"
        page.tab.keyboard.press("x")
        until(lambda: "fault" not in page.text("notice") and player.state()["trouble"] == "", "a sound session")
