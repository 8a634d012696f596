"""The admin page in a real browser, while three simulated people label over HTTP. Set ARTEFACTS to a folder to keep
the screenshots."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator

import pytest

from cluster.simulate import SimulatedPerson
from labeling.labelers import LabelerPool, Role
from labeling.queue import QueryQueue
from reward_service.comparisons import Answer
from reward_service.database import START, ComparisonDatabase
from reward_service.reliability import STATUS
from tests.labeling.browsing import AXE, Visit, looks, serious, until
from tests.labeling.pool import clips_of, keep_practice, offer_pairs

pytestmark = [pytest.mark.browser, pytest.mark.redis]

KINDS = {"anna": "perfect", "ben": "left-biased", "cleo": "spammer"}


class People:
    """Three of them, who label when told to."""

    def __init__(self, database: ComparisonDatabase, address: str) -> None:
        self.database, self.pool = database, LabelerPool(database.client, database.run_id)
        self.people = {
            name: SimulatedPerson(kind, address, self.pool.invite(name), database, seed)
            for seed, (name, kind) in enumerate(KINDS.items())
        }

    def label(self, rounds: int) -> None:
        for _ in range(rounds):
            for person in self.people.values():
                assert person.label(threading.Event())

    def publish(self, version: int) -> None:
        """A snapshot that saw everything, and what the trainer makes of the three."""
        self.database.snapshots.put(version, b"model", self.database.labels_since(START)[1])
        told = {
            name: {"reliability": mean, "low": mean - 0.1, "high": mean + 0.08, "gold_right": right, "gold_asked": 5}
            for name, mean, right in (("anna", 0.9, 5), ("ben", 0.7, 4), ("cleo", 0.42, 2))
        }
        self.database.set_status(STATUS, {"labelers": told, "slope": 1.0, "excluded_share": 0.04})


@pytest.fixture
def people(request: pytest.FixtureRequest, database: ComparisonDatabase, address: str) -> Iterator[People]:
    """Of a run whose `overlap` is the parameter, or 1."""
    offer_pairs(database, 60, overlap=getattr(request, "param", 1))
    keep_practice(database, clips_of(16, seed=1))
    people = People(database, address)
    yield people
    for person in people.people.values():
        person.close()


def cell(page: Visit, labeler: str, number: int) -> str:
    return page.tab.locator(f"tr[data-labeler={labeler}] > *").nth(number).inner_text()


def test_the_numbers_are_live(people: People, visit: Callable[..., Visit]) -> None:
    people.label(4)
    page = visit().hurried().look_at("admin")
    page.has_said("labels", "12")
    page.has_said("queries", "48 waiting")
    page.has_said("pace", "12 this minute")
    page.has_said("delay-more", "12 not used yet")
    assert cell(page, "anna", 1) == "4"
    assert cell(page, "anna", 5) == "not estimated yet"
    people.label(3)
    people.publish(1)
    page.has_said("labels", "21")
    page.has_said("delay-more", "0 not used yet")
    until(lambda: cell(page, "anna", 5).startswith("90 %"), "what the trainer makes of anna")
    assert cell(page, "anna", 1) == "7"
    assert "between 80 % and 98 %, 5 of 5 gold queries right" in cell(page, "anna", 5)


def test_a_labeler_is_paused_sees_it_calmly_and_goes_on_without_a_reload(
    database: ComparisonDatabase, people: People, visit: Callable[..., Visit], address: str
) -> None:
    dora = visit().hurried()
    dora.tab.goto(f"{address}#invite={people.pool.invite('dora')}")
    dora.tab.evaluate("localStorage.setItem('twoclips.practised.half-cheetah', 'true')")
    dora.tab.reload()
    dora.reach(state="labeling")
    query = dora.data("query")
    page = visit().look_at("admin")
    page.tab.get_by_role("button", name="Pause: dora").click()
    page.has_said("notice", "dora is paused.")
    dora.reach(state="paused")
    dora.has_said("cover-title", "Paused")
    dora.tab.keyboard.press("ArrowLeft")
    assert database.num_labels() == 0
    assert people.people["anna"].label(threading.Event()), "the others go on"
    page.tab.get_by_role("button", name="Go on: dora").click()
    dora.reach(state="labeling", query=query)
    dora.answer("left")
    until(lambda: database.num_labels() == 2, "the answer after the pause")


def test_everybody_is_paused_and_goes_on(people: People, visit: Callable[..., Visit]) -> None:
    page = visit().look_at("admin")
    page.tab.get_by_role("button", name="Pause everybody").click()
    page.has_said("alarm", "paused for everybody")
    assert not people.people["anna"].label(threading.Event())
    page.tab.get_by_role("button", name="Let everybody go on").click()
    until(lambda: page.tab.is_hidden("#alarm"), "the alarm to go")
    people.label(1)


def test_revoking_asks_first_and_then_shuts_the_page(
    database: ComparisonDatabase, people: People, visit: Callable[..., Visit], address: str
) -> None:
    dora = visit()
    dora.tab.goto(f"{address}#invite={people.pool.invite('dora')}")
    dora.reach(state="practice")
    dora.tab.get_by_role("button", name="Skip practice").click()
    dora.reach(state="labeling")
    dora.answer("left")
    dora.reach(saved="0")
    page = visit().look_at("admin")
    revoke = page.tab.get_by_role("button", name="Revoke: dora")
    revoke.click()
    page.has_said("confirm-text", "1 label")
    page.tab.keyboard.press("Enter")  # what has the focus is no
    assert not people.pool.is_revoked("dora")
    revoke.click()
    page.tab.get_by_role("button", name="Revoke dora").click()
    page.has_said("notice", "dora is revoked.")
    assert people.pool.is_revoked("dora")
    dora.tab.keyboard.press("ArrowLeft")
    dora.reach(state="error")
    dora.has_said("cover-title", "You are not signed in")
    assert database.num_labels() == 1
    assert dora.data("saved") == "1", "kept in the browser, for the next session"


def test_an_invite_is_made_copied_and_used(people: People, visit: Callable[..., Visit]) -> None:
    page = visit(permissions=["clipboard-read", "clipboard-write"]).look_at("admin")
    page.tab.get_by_label("Role").select_option("admin")
    page.tab.get_by_label("Name, if it matters").fill("eve")
    page.tab.get_by_role("button", name="Make a link").click()
    page.has_said("link-for", "Link for eve, admin")
    page.tab.get_by_role("button", name="Copy").click()
    page.has_said("notice", "copied")
    link = page.tab.evaluate("navigator.clipboard.readText()")
    assert link == page.tab.input_value("#link-text")
    eve = visit()
    eve.tab.goto(link)
    eve.reach(state="live")
    assert "invite" not in eve.tab.url
    until(lambda: "eve" in page.text("labelers"), "the new admin in the table")
    page.tab.reload()
    page.reach(state="live")
    assert page.tab.is_hidden("#link"), "shown once"


def test_who_is_invited_is_seen_and_can_be_revoked_before_they_come(
    people: People, visit: Callable[..., Visit]
) -> None:
    invite = people.pool.invite("dora")
    page = visit().look_at("admin")
    page.has_said("labelers", "dora")
    assert "invited" in cell(page, "dora", 0)
    assert "invited" not in cell(page, "anna", 0)
    page.tab.get_by_role("button", name="Revoke: dora").click()
    page.has_said("confirm-text", "Their link lets nobody in any more")
    page.tab.get_by_role("button", name="Revoke dora").click()
    until(lambda: "revoked" in cell(page, "dora", 0), "dora to be revoked")
    assert people.pool.whois(people.pool.join(invite)) is None


def test_a_labeler_is_told_that_the_page_is_not_theirs(
    people: People, visit: Callable[..., Visit], address: str
) -> None:
    page = visit()
    page.tab.goto(f"{address}admin#invite={people.pool.invite('dora')}")
    page.reach(state="shut")
    page.has_said("cover-title", "This page is for admins")


def test_a_server_that_is_away_is_said_and_the_page_goes_on(people: People, visit: Callable[..., Visit]) -> None:
    page = visit().hurried().look_at("admin")
    page.context.route("**/api/admin/overview", lambda route: route.abort())
    page.reach(state="lost")
    page.has_said("live-text", "no connection")
    page.context.unroute("**/api/admin/overview")
    page.reach(state="live")


def test_figures_that_come_in_do_not_take_the_focus(people: People, visit: Callable[..., Visit]) -> None:
    people.label(1)
    page = visit().hurried().look_at("admin")
    page.tab.get_by_role("button", name="Pause: cleo").focus()
    assert people.people["cleo"].label(threading.Event())
    page.has_said("labels", "4")
    assert cell(page, "cleo", 1) == "2", "the second label, which moves the row to the top"
    focused = page.tab.evaluate("document.activeElement.getAttribute('aria-label')")
    assert focused == "Pause: cleo"


def busy(database: ComparisonDatabase, people: People) -> None:
    """A pool that has everything to show."""
    queue = QueryQueue(database.client, database.run_id)
    for number in range(14):
        for name in (*KINDS, "fritz"):
            lease = queue.claim(name)
            assert lease is not None
            said = Answer.RIGHT if (number + len(name)) % 4 else Answer.LEFT
            evidence = {"response_s": 1.0 + number * len(name) / 7, "mirrored": number % 3 == 0}
            queue.complete(lease, said, f"{name}-{number}", json.dumps(evidence))
    people.publish(1)
    people.label(2)
    people.pool.pause("ben")
    people.pool.revoke("fritz")
    for name in ("anna", "cleo", "anna"):
        queue.claim(name)


@pytest.mark.parametrize("people", [4], indirect=True)
def test_axe_finds_no_serious_violation_and_nothing_scrolls_sideways(
    database: ComparisonDatabase, people: People, visit: Callable[..., Visit]
) -> None:
    busy(database, people)
    page = visit()
    page.context.add_init_script(path=AXE)
    page.look_at("admin")
    page.has_said("labelers", "fritz")
    for scheme in looks(page, "admin"):
        page.tab.get_by_role("button", name="Revoke: anna").click()
        assert serious(page, scheme) == []
        page.tab.keyboard.press("Escape")


def test_only_an_admin_is_led_to_the_admin_page(people: People, visit: Callable[..., Visit], address: str) -> None:
    local = visit().open()
    assert local.tab.get_by_role("link", name="Admin").is_visible()
    dora = visit()
    dora.tab.goto(f"{address}#invite={people.pool.invite('dora', role=Role.LABELER)}")
    dora.reach(state="practice")
    assert dora.tab.get_by_role("link", name="Run").is_visible()
    assert not dora.tab.get_by_role("link", name="Admin").is_visible()


def test_what_a_trainer_says_in_another_form_is_no_harm(
    database: ComparisonDatabase, people: People, visit: Callable[..., Visit]
) -> None:
    people.label(1)
    database.set_status(STATUS, json.loads('{"labelers": {}, "slope": null, "excluded_share": null}'))
    page = visit().look_at("admin")
    page.has_said("labels", "3")
    assert cell(page, "anna", 5) == "not estimated yet"


def test_an_admin_marks_the_pair_just_answered_as_gold_by_one_key(
    people: People, visit: Callable[..., Visit], database: ComparisonDatabase
) -> None:
    page = visit().open()
    page.answer("tie")
    page.tab.keyboard.press("g")
    page.has_said("notice", "better side")
    query = page.answer("left")
    page.reach(saved="0")
    page.tab.keyboard.press("g")
    page.has_said("notice", "1 pair is gold")
    assert [key.decode() for key in database.client.hkeys(f"{database.prefix}gold")] == [query]
    page.tab.keyboard.press("g")
    page.has_said("notice", "No longer gold")
    assert database.client.hlen(f"{database.prefix}gold") == 0
