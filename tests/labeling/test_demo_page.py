"""The page of the small world in a real browser. Set ARTEFACTS to a folder to keep the screenshots."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from labeling import demo_session
from labeling.demo_config import DemoConfig
from labeling.demo_player import Player
from tests.labeling.browsing import AXE, KEYS, Visit, keep_picture, person, schemes, serious, until
from tests.labeling.demos import served_demo

pytestmark = [pytest.mark.redis, pytest.mark.browser]

SIZES = {"desktop": (1280, 900), "phone": (390, 844)}
FRAMES_PER_SECOND = """seconds => new Promise(resolve => {
    let frames = 0;
    const began = performance.now();
    const next = () => {
        frames += 1;
        if (performance.now() - began < seconds * 1000) requestAnimationFrame(next);
        else resolve(frames / seconds);
    };
    requestAnimationFrame(next);
})"""

COUNT_INTERVALS = """() => {
    const [begin, end] = [setInterval, clearInterval];
    window.intervals = new Set();
    window.setInterval = (...how) => {
        const id = begin(...how);
        window.intervals.add(id);
        return id;
    };
    window.clearInterval = (id) => {
        window.intervals.delete(id);
        end(id);
    };
}"""
STORED = "() => Object.keys(localStorage).filter((key) => /^twoclips.(outbox|refused)/.test(key))"


@pytest.fixture(name="demo")
def _demo(redis_url: str) -> Iterator[tuple[str, Player]]:
    with served_demo(redis_url, DemoConfig()) as demo:
        yield demo


@pytest.fixture
def page(request: pytest.FixtureRequest, browser: Any, demo: tuple[str, Player]) -> Iterator[Visit]:
    """With the options of `person` that are the parameter, or none."""
    with person(browser, demo[0], **getattr(request, "param", {})) as page:
        yield page.look_at("")


@pytest.fixture
def player(demo: tuple[str, Player]) -> Player:
    return demo[1]


def world(player: Player) -> dict[str, Any]:
    return player.state()["worlds"][0]


def test_a_demo_begins_as_the_command_was_given(browser: Any, redis_url: str):
    config = DemoConfig(seed=5, members=4, size=6, error_rate=0.15)
    with served_demo(redis_url, config) as (address, player), person(browser, address) as page:
        page.look_at("")
        page.tab.keyboard.press("x")
        page.has_said("notice", "Begun anew with seed 5.")
        config = world(player)["config"]
        assert (config["seed"], config["members"], config["size"]) == (5, 4, 6)
        assert config["error_rate"] == 0.15
        assert page.tab.locator("#world-0 table tr").count() == 6


def test_what_is_wanted_last_holds_however_long_the_first_is_on_its_way(page: Visit, player: Player):
    sent: list[Any] = []

    def hold_the_first(route: Any) -> None:
        sent.append(route)
        if len(sent) > 1:
            route.continue_()

    page.context.route("**/api/demo/play", hold_the_first)
    page.tab.select_option("#speed", "0")
    page.tab.keyboard.press("p")
    page.tab.wait_for_timeout(500)  # time for the second to overtake it
    sent[0].continue_()
    page.reach(playing="true")
    page.tab.wait_for_timeout(300)
    assert player.state()["playing"]
    assert player.state()["speed"] == 0


def test_the_oracle_fills_the_map(page: Visit, player: Player):
    page.tab.select_option("#speed", "0")
    page.tab.keyboard.press("p")
    until(lambda: world(player)["labels"] >= 30, "30 labels", 60.0)
    page.tab.click("#play")
    page.reach(playing="false")
    told = world(player)
    page.has_said("step", f"{told['labels']} labels")
    page.has_said("optimal", f"{round(100 * told['optimal'])} %")
    page.has_said("ask-text", "The oracle says")
    rows = page.tab.locator("#world-0 table tr").all_inner_texts()
    assert len(rows) == 5
    assert "goal" in rows[3]
    until(lambda: page.tab.locator("#log li").count() > 20, "the log to be written")
    page.tab.keyboard.press("n")
    until(lambda: world(player)["step"] == told["step"] + 1, "one step")


@pytest.mark.slow  # it needs a machine that does nothing else
@pytest.mark.parametrize("page", [{"every_frame": True, "viewport": {"width": 1280, "height": 900}}], indirect=True)
def test_it_draws_sixty_frames_a_second_at_full_speed(page: Visit, player: Player):
    page.tab.select_option("#speed", "0")
    page.tab.click("#play")
    page.reach(playing="true")
    began = world(player)["step"]
    frames = page.tab.evaluate(FRAMES_PER_SECOND, 5)
    print(f"{frames:.0f} frames and {(world(player)['step'] - began) / 5:.0f} steps a second")
    assert frames >= 45


@pytest.mark.parametrize("page", [{"moving": True}], indirect=True)
def test_ten_pairs_are_labeled_by_a_person_one_is_taken_back_and_then_the_oracle_goes_on(page: Visit, player: Player):
    page.tab.select_option("#speed", "0")
    page.tab.click("[data-preset=person]")
    answered: list[str] = []
    for index in range(10):
        until(lambda: page.data("query") not in ("", *answered[-1:]), "the next pair")
        page.has_said("ask-title", "Your turn")
        query = page.data("query")
        if index == 4:
            page.tab.click("#answers [data-action=tie]")
        else:
            page.tab.keyboard.press(KEYS["left" if index % 2 else "right"])
        answered.append(query)
        until(lambda count=index + 1: world(player)["labels"] == count, f"label {index + 1}")
    assert len(set(answered)) == 10
    until(lambda: page.data("query") not in ("", answered[-1]), "the eleventh pair")
    stood = world(player)
    assert stood["waiting"]
    page.tab.keyboard.press("z")
    until(lambda: world(player)["labels"] == 9, "the answer to be taken back")
    page.tab.click("#more summary")
    page.tab.click("#mine")
    until(lambda: world(player)["labels"] > 15, "the oracle's labels")
    page.has_said("log", "The synthetic oracle answers from here on.")


def test_offline_stands_still_until_queries_are_switched_on(
    page: Visit, player: Player, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(demo_session, "OFFLINE_LABELS", 60)
    page.tab.select_option("#speed", "0")
    page.tab.click("[data-preset=offline]")
    page.has_said("notice", "Begun anew")
    page.tab.click("#play")
    until(lambda: world(player)["step"] > 400, "the agent to go on after its only questions", 60.0)
    page.has_said("ask-text", "Nobody is asked now")
    frozen = world(player)
    assert frozen["labels"] == 60
    page.tab.click("#play")  # a pause: at full speed what is said is soon behind other lines
    until(lambda: not page.tab.is_checked("#online"), "the switch to show what is so")
    page.tab.click("#online")
    page.has_said("log", "Online queries are on")
    page.tab.click("#play")
    until(lambda: world(player)["labels"] > 70, "new labels")
    assert world(player)["rewards"] != frozen["rewards"]


def ask_me(page: Visit) -> None:
    page.tab.select_option("#speed", "0")
    page.tab.click("[data-preset=person]")
    until(lambda: page.data("query") != "", "a pair")


def begin_anew(page: Visit, player: Player) -> None:
    """Until the page asks for pairs of the next session."""
    over = player.run_id

    def is_of_next(request: Any) -> bool:
        return request.url.endswith("/api/claims") and over not in request.headers["x-twoclips-scope"]

    with page.tab.expect_request(is_of_next):
        page.tab.keyboard.press("x")


def test_a_session_that_is_over_leaves_no_timer_and_no_listener(page: Visit, player: Player):
    page.tab.evaluate(COUNT_INTERVALS)
    tools = page.context.new_cdp_session(page.tab)

    def left() -> tuple[int, int]:
        listened = 0
        for name in ("window", "document"):
            found = tools.send("Runtime.evaluate", {"expression": name})["result"]["objectId"]
            listened += len(tools.send("DOMDebugger.getEventListeners", {"objectId": found})["listeners"])
        return page.tab.evaluate("window.intervals.size"), listened

    ask_me(page)
    first = left()
    for _ in range(3):
        begin_anew(page, player)
    assert left() == first
    assert first[0] > 0


def test_an_answer_that_was_under_way_when_its_session_ended_is_neither_kept_nor_sent_again(
    page: Visit, player: Player
):
    page.hurried()
    sent: list[Any] = []
    page.context.route("**/api/answers", lambda route: sent.append(route))
    ask_me(page)
    for status in (421, 410):
        until(lambda: page.data("query") != "", "a pair")
        page.tab.keyboard.press(KEYS["left"])
        page.reach(saved="1")
        assert len(page.tab.evaluate(STORED)) == 1
        begin_anew(page, player)
        page.reach(saved="0")
        with page.tab.expect_response("**/api/answers"):
            sent[0].fulfill(status=status, body=json.dumps({"error": "this page is another run's"}))
        for _ in range(10):
            page.context.clock.fast_forward(10_000)
        page.tab.wait_for_timeout(100)  # time for what is sent to get here
        assert len(sent) == 1
        assert page.tab.evaluate(STORED) == []
        sent.clear()


@pytest.mark.parametrize("size", SIZES)
def test_it_is_accessible_and_fits(page: Visit, player: Player, size: str):
    width, height = SIZES[size]
    page.tab.set_viewport_size({"width": width, "height": height})
    page.tab.click("#more summary")
    if size == "desktop":
        page.tab.click("#side-by-side")
        page.tab.wait_for_selector("body[data-worlds='2']")
    else:
        ask_me(page)
    for _ in range(3):
        player.step()
    page.tab.evaluate(AXE.read_text(encoding="utf-8"))
    for scheme in schemes(page):
        assert page.tab.evaluate("document.documentElement.scrollWidth") <= width
        assert serious(page, scheme) == []
        keep_picture(page, f"demo-{size}-{scheme}")


def test_with_reduced_motion_paths_stand_still_at_their_end(page: Visit):
    page.tab.click("[data-preset=person]")
    until(lambda: page.data("query") != "", "a pair")
    before = page.tab.evaluate("document.querySelector('#left canvas').toDataURL()")
    page.tab.wait_for_timeout(700)
    assert page.tab.evaluate("document.querySelector('#left canvas').toDataURL()") == before
    assert len(before) > 1000
