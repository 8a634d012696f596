"""The labeling page in a real browser, against the real server and a real Redis: what a person does, and what is then
in the log. Set ARTEFACTS to a folder to keep the screenshots."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from actors.tasks import make_task
from labeling.labelers import LabelerPool
from labeling.progress import RUN_STATUS
from labeling.queue import QueryQueue
from labeling.show import Show
from reward_service.comparisons import Answer
from reward_service.database import START, ComparisonDatabase
from tests.labeling import paintings
from tests.labeling.browsing import KEYS, Visit, keep_picture, person, served, until
from tests.labeling.paintings import TASK as PICTURES
from tests.labeling.paintings import dot_clips, offer_dots
from tests.labeling.pool import TASK, clips_of, current_answers, keep_practice, offer_pairs, run_out

pytestmark = [pytest.mark.browser, pytest.mark.redis]


def test_twenty_pairs_by_keyboard_with_an_undo_and_a_lost_connection(
    database: ComparisonDatabase, visit: Callable[..., Visit]
) -> None:
    offer_pairs(database, 24)
    page, claimed = visit(moving=True), []
    page.context.on("requestfinished", lambda request: claimed.append(request) if "/claims" in request.url else None)
    page.open()
    answers = itertools.cycle(KEYS)
    expected: dict[str, str] = {}

    def label(count: int) -> None:
        for _ in range(count):
            page.reach(state="labeling")
            answer = next(answers)
            expected[page.answer(answer)] = answer

    label(7)
    page.reach(saved="0")
    taken_back = list(expected)[-1]
    page.tab.keyboard.press("z")
    del expected[taken_back]
    page.has_said("notice", "Taken back")
    until(lambda: database.num_labels() == 6, "the retraction")

    label(3)
    page.reach(saved="0")
    until(lambda: database.num_labels() == 9, "the labels before the connection is lost")
    # a reply is heard of only while the browser is spoken to
    until(lambda: bool(page.data("saved")) and len(claimed) == 10 + 4, "three pairs to arrive beside the one on screen")
    assert database.counts()["leases"] == 4
    page.context.set_offline(True)
    label(3)
    page.reach(saved="3")
    page.has_said("saved-text", "3 waiting")
    page.tab.keyboard.press("z")  # never sent: it goes, and its pair is back
    unsent = list(expected)[-1]
    del expected[unsent]
    page.reach(saved="2", query=unsent)
    label(1)
    page.reach(saved="3")
    assert database.num_labels() == 9
    page.context.set_offline(False)
    page.reach(saved="0")
    page.has_said("saved-text", "saved")

    label(20 - len(expected))
    page.reach(saved="0")
    assert len(expected) == 20
    assert current_answers(database) == expected
    log, _ = database.labels_since(START)
    assert len(log) == 22, "twenty answers, one taken back and its retraction"
    assert not any(label.surplus for label in log)
    evidence = json.loads(log[3].evidence)
    assert evidence["input"] == "key"
    assert evidence["plays"] >= 1
    assert 0 < evidence["response_s"] < 30


def test_leaving_with_unsent_answers_warns_and_they_outlive_the_page_while_the_server_is_away(
    database: ComparisonDatabase, visit: Callable[..., Visit]
) -> None:
    offer_pairs(database, 6)
    page = visit().hurried().open()
    page.context.route("**/api/answers", lambda route: route.abort())
    expected = {page.answer_in_vain("left"): "left", page.answer_in_vain("tie"): "tie"}
    page.reach(saved="2")
    warnings: list[str] = []

    def leave(dialog: Any) -> None:
        warnings.append(dialog.type)
        dialog.accept()

    page.tab.on("dialog", leave)
    page.tab.reload()
    assert warnings == ["beforeunload"]
    page.reach(state="waiting", saved="2")
    page.has_said("cover-text", "Your answers go out first.")
    assert database.num_labels() == 0
    page.context.unroute("**/api/answers")
    page.reach(state="labeling", saved="0")
    assert current_answers(database) == expected


def test_after_an_outage_longer_than_a_lease_nobody_is_shown_what_they_have_answered(
    database: ComparisonDatabase, visit: Callable[..., Visit]
) -> None:
    offer_pairs(database, 12)
    page = visit().hurried().open()
    page.context.route("**/api/answers", lambda route: route.abort())
    expected = {}
    while page.data("state") == "labeling":
        expected[page.answer("left")] = "left"
    page.has_said("cover-text", "Your answers go out first.")
    assert 0 < len(expected) < 12
    leases = f"{database.prefix}leases"
    database.client.zadd(leases, dict.fromkeys(database.client.zrange(leases, 0, -1), 1.0))
    for _ in range(5):  # who asks again does so every two seconds
        page.context.clock.fast_forward(500)
        page.tab.wait_for_timeout(100)
    assert page.data("state") == "waiting"
    page.context.unroute("**/api/answers")
    page.reach(saved="0", state="labeling")
    while len(expected) < 12:  # it may wait in between, where the next pairs are slow to come
        query = page.answer("tie")
        assert query not in expected
        expected[query] = "tie"
    page.reach(saved="0")
    assert current_answers(database) == expected
    assert len(database.labels_since(START)[0]) == 12


def test_answers_are_sent_though_the_browsers_storage_is_full(
    database: ComparisonDatabase, visit: Callable[..., Visit]
) -> None:
    offer_pairs(database, 6)
    page = visit()
    page.tab.add_init_script("""
        const store = Storage.prototype.setItem;
        Storage.prototype.setItem = function (key, value) {
          if (!key.startsWith("twoclips.practised")) throw new DOMException("full", "QuotaExceededError");
          store.call(this, key, value);
        };
    """)
    page.open()
    expected = {page.answer("left"): "left"}
    page.reach(saved="0")
    page.context.route("**/api/answers", lambda route: route.abort())
    expected[page.answer("tie")] = "tie"
    page.reach(saved="1")
    page.has_said("saved-text", "1 waiting, in this tab only")
    assert page.tab.get_attribute("#saved-text", "role") == "status"
    page.context.unroute("**/api/answers")
    page.reach(saved="0")
    assert current_answers(database) == expected


def test_an_answer_given_after_the_laptop_slept_is_kept_beside_the_one_that_came_meanwhile(
    database: ComparisonDatabase, visit: Callable[..., Visit]
) -> None:
    offer_pairs(database, 6)
    page = visit().open()
    query = page.data("query")
    held = database.client.zrange(f"{database.prefix}leases", 0, -1)
    run_out(database, *held)  # while it slept
    queue = QueryQueue(database.client, database.run_id)
    lease = queue.claim("anna")
    assert lease is not None
    assert lease.query_id == query
    queue.complete(lease, Answer.RIGHT, "annas-label-0001")
    page.answer("left")
    page.reach(saved="0")
    kept = [(label.labeler, label.surplus) for label in database.labels_since(START)[0] if label.query_id == query]
    assert kept == [("anna", False), ("local", True)]
    page.tab.keyboard.press("?")
    page.has_said("history", "kept, not counted")


def test_an_answer_whose_reply_was_lost_counts_once(database: ComparisonDatabase, visit: Callable[..., Visit]) -> None:
    offer_pairs(database, 3)
    page = visit().open()
    lost = []

    def lose_reply(route: Any) -> None:
        if lost:
            route.continue_()
        else:
            lost.append(route.fetch())
            route.abort()

    page.context.route("**/api/answers", lose_reply)
    query = page.answer("right")
    # a route is served only while the browser is spoken to
    until(lambda: bool(page.data("saved") and lost), "the lost reply")
    page.reach(saved="0")
    assert current_answers(database) == {query: "right"}
    assert len(database.labels_since(START)[0]) == 1


def test_whoever_gets_in_without_their_invite_is_told_so(
    database: ComparisonDatabase, visit: Callable[..., Visit], address: str
) -> None:
    offer_pairs(database, 8)  # more than one page holds: the browser may forget its leases on the way
    page = visit().open()
    page.tab.goto("about:blank")
    page.tab.goto(f"{address}#invite={'x' * 43}")
    page.reach(state="labeling")
    page.has_said("notice", "You label as local.")


@pytest.mark.parametrize("reloads", [False, True])
def test_an_invite_whose_reply_was_lost_lets_its_labeler_in_all_the_same(
    database: ComparisonDatabase, visit: Callable[..., Visit], address: str, reloads: bool
) -> None:
    offer_pairs(database, 1)
    page, lost = visit().hurried(), []

    def lose_reply(route: Any) -> None:
        if lost and not reloads:
            route.continue_()
        else:
            lost.append(route.fetch())
            page.context.clear_cookies()  # what the browser has not received it cannot keep
            route.abort()

    page.context.route("**/api/sessions", lose_reply)
    page.tab.add_init_script(f"localStorage.setItem('twoclips.practised.{TASK}', 'true')")
    page.tab.goto(f"{address}#invite={LabelerPool(database.client, database.run_id).invite('anna')}")
    if reloads:
        page.reach(state="error")
        page.context.unroute("**/api/sessions")
        page.tab.reload()
    page.reach(state="labeling")
    page.answer("left")
    page.reach(saved="0")
    assert lost[0].status == 200
    assert [label.labeler for label in database.labels_since(START)[0]] == ["anna"]


def test_a_reload_while_a_pair_is_on_its_way_gets_that_pair(
    database: ComparisonDatabase, visit: Callable[..., Visit]
) -> None:
    offer_pairs(database, 1)
    page, lost = visit(), []

    def lose_reply(route: Any) -> None:
        if lost:
            route.continue_()
        else:
            lost.append(route.fetch())  # the pair is given, and the page never hears of it

    page.context.route("**/api/claims", lose_reply)
    page.open(state="waiting")
    # a route is served only while the browser is spoken to
    until(lambda: page.data("state") == "waiting" and bool(lost), "the pair to be given")
    assert database.counts()["leases"] == 1
    page.tab.reload()
    page.reach(state="labeling")


def test_who_finds_nothing_to_label_is_told_why_and_whether_to_wait(
    database: ComparisonDatabase, visit: Callable[..., Visit]
) -> None:
    offer_pairs(database, 1)
    page = visit().open()
    page.answer("left")
    page.reach(state="waiting", saved="0")
    page.has_said("cover-text", "waiting for clips:")
    page.has_said("cover-title", "Nothing to label just now.")

    database.set_status(RUN_STATUS, {"labels_wanted": 1, "labels_due": 1})
    page.has_said("cover-title", "All labels are in.")
    page.has_said("cover-text", "You can close this page.")

    database.set_status(RUN_STATUS, {"labels_wanted": 700, "steps": 2_000_000})
    page.has_said("cover-text", "waiting for clips:")
    status = f"{database.prefix}status"
    told = database.client.hget(status, RUN_STATUS).partition(b" ")[2]
    database.client.hset(status, RUN_STATUS, b"%.6f %s" % (database.now_s() - 60.0, told))
    page.has_said("cover-text", "The run is not at work: nothing new is asked. You can close this page.")
    database.set_status(RUN_STATUS, {"labels_wanted": 700, "steps": 2_000_000})
    page.has_said("cover-text", "waiting for clips:")

    offer_pairs(database, 2, seed=1)
    page.reach(state="labeling")
    assert page.tab.is_hidden("#cover")


def test_who_holds_as_many_pairs_as_one_may_is_told_to_answer_those(
    database: ComparisonDatabase, visit: Callable[..., Visit], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("labeling.desk.MOST_LEASES", 1)
    offer_pairs(database, 3)
    first = visit().open()
    second = visit().open(state="waiting")
    second.has_said("cover-title", "You hold as many pairs as one may.")
    second.has_said("cover-text", "Answer those in your other tabs")
    first.tab.close()
    run_out(database, *database.client.zrange(f"{database.prefix}leases", 0, -1))  # type: ignore[misc]
    second.reach(state="labeling")


def test_a_pair_that_cannot_be_drawn_is_left_for_others(
    database: ComparisonDatabase, visit: Callable[..., Visit]
) -> None:
    queries = offer_pairs(database, 3)
    page = visit()
    broken: list[str] = []

    def break_first(route: Any) -> None:
        if broken:
            route.continue_()
            return
        reply = route.fetch()
        body = reply.json()
        broken.append(body["pair"]["query"])
        body["pair"]["left"]["positions"] = "AAAA"
        route.fulfill(response=reply, json=body)

    page.context.route("**/api/claims", break_first)
    page.open()
    until(lambda: page.data("query") in set(queries) - set(broken), "another pair")
    undrawn = f"{database.prefix}queries:undrawn"
    until(lambda: database.client.zrange(undrawn, 0, -1) == [broken[0].encode()], "the withdrawal")
    page.answer("left")
    page.answer("left")
    page.reach(state="waiting", saved="0")
    assert database.num_open_queries() == 1, "it is left for others"


def test_a_browser_that_can_draw_nothing_stops_after_three_pairs_and_names_a_remedy(
    database: ComparisonDatabase, visit: Callable[..., Visit]
) -> None:
    offer_pairs(database, 8)
    page, claims = visit(), []

    def break_all(route: Any) -> None:
        reply = route.fetch()
        body = reply.json()
        claims.append(body["pair"])
        body["pair"]["left"]["positions"] = "AAAA"
        route.fulfill(response=reply, json=body)

    page.context.route("**/api/claims", break_all)
    page.open(state="error")
    page.has_said("cover-text", "open this page in another browser")
    page.tab.wait_for_timeout(1000)
    assert len(claims) == 3
    assert database.num_open_queries() == 8, "others may be able to"


def test_a_browser_that_stops_drawing_while_a_pair_is_shown_stops_too(
    database: ComparisonDatabase, visit: Callable[..., Visit]
) -> None:
    offer_pairs(database, 8)
    page = visit(moving=True).open()
    page.answer("left")
    page.reach(saved="0")
    broken = "WebGL2RenderingContext.prototype.drawElements = () => { throw new Error('out of memory'); }"
    page.tab.evaluate(f"() => {{ {broken} }}")
    page.reach(state="error")
    page.has_said("cover-title", "This browser cannot draw the clips")
    assert database.num_open_queries() == 7


def test_two_tabs_of_one_person(database: ComparisonDatabase, visit: Callable[..., Visit], address: str) -> None:
    offer_pairs(database, 12)
    first = visit().open()
    second = first.beside(address).open()
    expected = {}
    for page, answer in itertools.islice(
        zip(itertools.cycle([first, second]), itertools.cycle(KEYS), strict=False), 10
    ):
        page.tab.bring_to_front()
        expected[page.answer(answer)] = answer
    first.reach(saved="0")
    second.reach(saved="0")
    assert len(expected) == 10
    assert current_answers(database) == expected
    assert len(database.labels_since(START)[0]) == 10


def test_an_unsent_answer_of_another_run_stays_for_that_run(
    database: ComparisonDatabase, visit: Callable[..., Visit]
) -> None:
    """Runs that are served in turn on one port share the browser's storage."""
    offer_pairs(database, 6)
    page = visit().open()
    page.context.route("**/api/answers", lambda route: route.abort())
    page.answer_in_vain("left")
    page.reach(saved="1")
    move = """run => {
      const key = Object.keys(localStorage).find((key) => key.startsWith("twoclips.outbox."));
      const entry = JSON.parse(localStorage.getItem(key));
      localStorage.setItem(key, JSON.stringify({ ...entry, scope: entry.scope.replace(run, "another-run"), at: 1 }));
      return key;
    }"""
    key = page.tab.evaluate(move, database.run_id)
    page.tab.reload()
    page.reach(state="labeling", saved="0")
    page.context.unroute("**/api/answers")  # not before: the page that was left would send it yet
    page.answer("tie")
    until(lambda: database.num_labels() == 1, "the answer of this run")
    assert page.tab.evaluate("key => localStorage.getItem(key)", key) is not None


def test_practice_comes_first_gives_feedback_and_is_never_sent(
    database: ComparisonDatabase, visit: Callable[..., Visit]
) -> None:
    offer_pairs(database, 6)
    show, clips = Show(make_task(TASK)), database.clips.get(["clip-0-0", "clip-0-1"])
    pairs = [{**show.pair(*clips.values()), "better": "left"} for _ in range(2)]
    page = visit()
    page.context.route("**/api/practice", lambda route: route.fulfill(json={"pairs": pairs}))
    page.open("practice")
    page.tab.keyboard.press("ArrowLeft")
    page.has_said("notice", "Yes: left is better, by the task's own measure.")
    page.tab.keyboard.press("Enter")
    page.has_said("badge", "Practice 2 of 2")
    page.drawn()
    page.tab.keyboard.press("ArrowRight")
    page.has_said("notice", "Not quite: left is better, by the task's own measure.")
    page.tab.keyboard.press("ArrowRight")
    page.reach(state="labeling")
    assert database.num_labels() == 0
    page.tab.reload()
    page.reach(state="labeling")


@pytest.mark.parametrize("is_answered", [False, True])
def test_after_practising_again_every_pair_comes_once(
    database: ComparisonDatabase, visit: Callable[..., Visit], is_answered: bool
) -> None:
    """Also one that is answered while the practice pairs are still on their way."""
    offer_pairs(database, 6)
    show, clips = Show(make_task(TASK)), database.clips.get(["clip-0-0", "clip-0-1"])
    practice = {"pairs": [{**show.pair(*clips.values()), "better": "left"}]}
    page, asked = visit().open(), []
    page.context.route("**/api/practice", lambda route: asked.append(route))
    page.context.route("**/api/heartbeats", lambda route: route.abort())  # which would find out, some time
    page.tab.keyboard.press("?")
    page.tab.click("#practise")
    until(lambda: page.data("state") == "labeling" and bool(asked), "the request for practice pairs")
    expected = {page.answer("left"): "left"} if is_answered else {}
    shown = page.data("query")
    asked[0].fulfill(json=practice)
    page.reach(state="practice")
    page.tab.get_by_role("button", name="Skip practice").click()
    page.reach(state="labeling", query=shown)
    while page.data("state") == "labeling":
        query = page.answer("tie")
        assert query not in expected
        expected[query] = "tie"
    page.reach(state="waiting", saved="0")
    assert current_answers(database) == expected
    assert len(database.labels_since(START)[0]) == len(expected) == 6


def test_keys_can_be_changed_and_stay_so(database: ComparisonDatabase, visit: Callable[..., Visit]) -> None:
    offer_pairs(database, 4)
    page = visit().open()
    page.tab.keyboard.press("?")
    page.tab.get_by_role("button", name="Change the key for: The left clip is better").click()
    page.tab.keyboard.press("AltGraph")  # of some keyboards, on the way to a sign: no key by itself
    page.tab.keyboard.press("a")
    page.has_said("key-status", "Now A.")
    page.tab.keyboard.press("Escape")
    page.tab.reload()
    page.reach(state="labeling")
    query = page.data("query")
    page.tab.keyboard.press("ArrowLeft")
    page.tab.keyboard.press("a")
    until(lambda: page.data("query") != query, "the next pair")
    page.reach(saved="0")
    assert current_answers(database) == {query: "left"}


def test_a_key_or_button_that_is_held_down_or_clicked_twice_answers_one_pair(
    database: ComparisonDatabase, visit: Callable[..., Visit]
) -> None:
    offer_pairs(database, 6)
    page = visit().open()
    queries = [page.data("query")]

    def next_pair() -> None:
        until(lambda: page.data("query") not in ("", queries[-1]), "the next pair")
        queries.append(page.data("query"))

    def stays() -> None:
        time.sleep(0.5)
        assert page.data("query") == queries[-1]

    page.tab.keyboard.down("ArrowLeft")
    next_pair()
    page.tab.keyboard.down("ArrowLeft")  # Playwright sends it as a repetition
    stays()
    page.tab.keyboard.up("ArrowLeft")
    page.tab.focus("#answers [data-action=left]")
    page.tab.keyboard.down("Enter")
    next_pair()
    for _ in range(3):
        page.tab.keyboard.down("Enter")  # Playwright sends these as repetitions
    stays()
    page.tab.keyboard.up("Enter")
    page.drawn()
    page.tab.dblclick("#answers [data-action=tie]", delay=150)  # the next pair is on screen between the two
    next_pair()
    stays()
    page.reach(saved="0")
    assert current_answers(database) == dict(zip(queries, ("left", "left", "tie"), strict=False))


def test_reduced_motion_starts_on_a_film_strip(database: ComparisonDatabase, visit: Callable[..., Visit]) -> None:
    offer_pairs(database, 4)
    page = visit(reduced_motion="reduce").open()
    time.sleep(0.5)
    assert page.tab.locator("#left .times span").count() == 6
    assert page.tab.get_attribute("#pause", "aria-label") == "Play"
    assert page.text("time") == "0.0 s"
    page.tab.keyboard.press("Space")
    until(lambda: page.text("time") != "0.0 s", "the clips to play")
    assert page.tab.locator("#left .times span").count() == 0
    page.tab.keyboard.press("Space")
    time.sleep(0.3)
    before = page.text("time")
    time.sleep(0.5)
    assert page.text("time") == before


def test_on_a_phone_the_buttons_say_upper_and_lower_before_the_first_pair_and_in_practice(
    database: ComparisonDatabase, visit: Callable[..., Visit]
) -> None:
    phone = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
    assert visit(**phone).open("waiting").tab.get_by_role("button", name="Upper is better").is_visible()
    offer_pairs(database, 4)
    keep_practice(database, clips_of(12, seed=1))
    page = visit(**phone).open("practice")
    top = page.tab.locator("#stage").bounding_box()["y"]
    page.tab.get_by_role("button", name="Upper is better").tap()
    page.has_said("notice", "er is better, by the task's own measure.")
    assert page.tab.locator("#stage").bounding_box()["y"] == top, "the clips stay where they are"
    below, above = page.tab.locator("#next").bounding_box(), page.tab.locator("#instruction").bounding_box()
    assert below["y"] >= above["y"] + above["height"]


def test_a_phone_scrolls_nowhere_sideways(database: ComparisonDatabase, visit: Callable[..., Visit]) -> None:
    offer_pairs(database, 6)
    page = visit(viewport={"width": 320, "height": 844}, has_touch=True, is_mobile=True).open()
    for width in (390, 320):
        page.tab.set_viewport_size({"width": width, "height": 844})
        assert page.tab.evaluate("document.documentElement.scrollWidth") <= width
        assert page.tab.evaluate("innerWidth") == width
    until(lambda: bool(page.data("query")), "the first pair")
    expected = {page.data("query"): "right"}
    page.tab.get_by_role("button", name="Lower is better").tap()
    until(lambda: page.data("query") not in expected, "the pair after a tap")
    expected[page.data("query")] = "left"
    swipe(page, 0, -120)
    until(lambda: page.data("query") not in expected, "the pair after a swipe")
    page.reach(saved="0")
    assert current_answers(database) == expected
    inputs = [json.loads(label.evidence)["input"] for label in database.labels_since(START)[0]]
    assert inputs == ["touch", "touch"]


def swipe(page: Visit, by_x: int, by_y: int) -> None:
    box = page.tab.locator("#stage").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    touch = page.context.new_cdp_session(page.tab)
    touch.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": x, "y": y}]})
    for part in (0.3, 0.6, 1.0):
        point = {"x": x + part * by_x, "y": y + part * by_y}
        touch.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [point]})
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


# Where the dot is in a canvas: the mean column of its colour, as a share of the width; null where it is not.
DOT = """canvas => {
  const { width, height } = canvas;
  const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
  let sum = 0, count = 0;
  for (let at = 0; at < data.length; at += 4) {
    if (data[at + 2] - data[at] > 80) { sum += (at / 4) % width; count += 1; }
  }
  return count ? sum / count / width : null;
}"""


def dots_at(page: Visit, step: int) -> dict[str, float]:
    """Where the dots are on screen at a step, as shares of the canvases' widths."""
    page.tab.eval_on_selector("#scrub", "(it, at) => { it.value = at; it.dispatchEvent(new Event('input')); }", step)
    page.drawn()
    return {side: page.tab.eval_on_selector(f"#{side} canvas", DOT) for side in ("left", "right")}


def test_a_task_that_draws_itself_is_labeled_by_keyboard(browser: Any, database: ComparisonDatabase) -> None:
    """The person looks where the dot stands at the end, and answers; the log agrees with the truth."""
    offer_dots(database, 3)
    with served(database, PICTURES) as address, person(browser, address, moving=True) as page:
        page.open()
        assert page.data("shows") == "pictures"
        assert not page.tab.is_visible(".view"), "pictures cannot be turned"
        for _ in range(3):
            until(lambda: page.data("query") != "", "the first frame of a pair")
            page.tab.keyboard.press(" ")
            places = dots_at(page, paintings.CLIP_STEPS - 1)
            keep_picture(page, f"pictures-{database.num_labels()}", whole=False)
            page.answer("right" if places["right"] > places["left"] else "left")
        page.reach(state="waiting", saved="0")
        until(lambda: database.num_labels() == 3, "three labels")
    for label in database.labels_since(START)[0]:
        query = database.get_query(label.query_id)
        assert query is not None
        clips = database.clips.get([query.left, query.right])
        ends = {side: float(clips[getattr(query, side)].segment.observations[-1, 0]) for side in ("left", "right")}
        assert label.answer == max(ends, key=lambda side: ends[side])


def test_a_picture_that_does_not_open_is_asked_for_again(browser: Any, database: ComparisonDatabase) -> None:
    offer_dots(database, 1)
    breaks_first = (
        "const open = window.createImageBitmap; let times = 0;"
        "window.createImageBitmap = (blob) => times++ ? open(blob) : new Promise(() => {});"
    )
    with served(database, PICTURES) as address, person(browser, address) as page:
        page.context.add_init_script(breaks_first)
        page.hurried().open()
        page.answer("left")
        page.reach(state="waiting", saved="0")
    assert database.num_labels() == 1


def test_a_pair_whose_picture_is_on_its_way_while_the_next_one_is_wanted_is_shown(
    browser: Any, database: ComparisonDatabase
) -> None:
    offer_dots(database, 2)
    is_slow = (
        "const open = window.createImageBitmap;"
        "window.createImageBitmap = (blob) => new Promise((done) => setTimeout(() => done(open(blob)), 800));"
    )
    with served(database, PICTURES) as address, person(browser, address) as page:
        page.context.add_init_script(is_slow)
        page.open()  # the first pair was wanted before it came
        page.answer("left")
        until(lambda: page.data("query") != "", "the second pair, which came after it was wanted")
        page.answer("left")
        page.reach(state="waiting", saved="0")
    assert database.num_labels() == 2


LEAST_BRIGHT = """async () => {
  const { Pictures } = await import("/static/pictures.js");
  const sheet = Object.assign(document.createElement("canvas"), { width: 640, height: 320 });
  const brush = sheet.getContext("2d");
  brush.fillStyle = "white";
  brush.fillRect(0, 0, 320, 320);
  brush.fillStyle = "black";
  brush.fillRect(320, 0, 320, 320);
  const canvas = Object.assign(document.createElement("canvas"), { width: 601, height: 418 });
  const pictures = new Pictures(canvas);
  const image = await createImageBitmap(sheet);
  pictures.load({ image, columns: 2, width: 320, height: 320, firstFrame: 0, steps: 2 });
  pictures.draw(0);
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let least = 255;
  for (let at = 0; at < data.length; at += 4) if (data[at + 3] === 255) least = Math.min(least, data[at]);
  return least;
}"""


def test_a_frame_shows_nothing_of_its_neighbour_in_the_strip(
    database: ComparisonDatabase, visit: Callable[..., Visit]
) -> None:
    page = visit().open("waiting")
    assert page.tab.evaluate(LEAST_BRIGHT) == 255, "a white frame beside a black one"


def test_both_pictures_follow_one_clock_and_practice_is_shown_too(browser: Any, database: ComparisonDatabase) -> None:
    offer_dots(database, 4)
    keep_practice(database, dot_clips(rollouts=5, seed=3))
    with served(database, PICTURES) as address, person(browser, address, reduced_motion="reduce") as page:
        page.open("practice")
        assert page.tab.locator("#left .times span").count() == 6, "a film strip where motion is unwelcome"
        page.tab.get_by_role("button", name="Skip practice").click()
        page.reach(state="labeling")
        query = database.get_query(page.data("query"))
        assert query is not None
        clips = database.clips.get([query.left, query.right])
        paths = [clips[name].segment.observations[:, 0] for name in (query.left, query.right)]
        seen = [dots_at(page, step) for step in range(paintings.CLIP_STEPS)]
    for side in ("left", "right"):
        shown = np.array([dot[side] for dot in seen])
        fits = [np.corrcoef(shown, np.clip(path, -1, 1))[0, 1] for path in paths]
        assert max(fits) > 0.999
