"""The labeling page as axe and as a person sees it, on a desktop and on a phone, in both schemes and in every state.
Set ARTEFACTS to a folder to keep the screenshots."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from labeling.labelers import LabelerPool
from labeling.queue import QueryQueue
from reward_service.comparisons import Answer
from reward_service.database import ComparisonDatabase
from tests.labeling.browsing import AXE, Visit, keep_picture, schemes, serious
from tests.labeling.pool import clips_of, keep_practice, offer_pairs, run_out

pytestmark = [pytest.mark.browser, pytest.mark.redis]

DESKTOP: dict[str, Any] = {"viewport": {"width": 1280, "height": 800}}
PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


@pytest.mark.parametrize("device", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_axe_finds_no_serious_violation_in_any_state(
    database: ComparisonDatabase, visit: Callable[..., Visit], device: dict[str, Any]
) -> None:
    offer_pairs(database, 6)
    keep_practice(database, clips_of(16, seed=1))
    pool, size = LabelerPool(database.client, database.run_id), device["viewport"]
    page, found = visit(**device, moving=True), []
    page.context.add_init_script(path=AXE)

    def look(state: str) -> None:
        for scheme in schemes(page):
            found.extend(f"{state}, {scheme}: {violation}" for violation in serious(page, scheme))
            if state == "labeling":
                keep_picture(page, f"page-{size['width']}x{size['height']}-{scheme}", whole=False)

    page.open("practice")
    page.tab.keyboard.press("ArrowLeft")
    page.has_said("notice", "by the task's own measure.")
    look("practice, with its feedback")
    page.tab.get_by_role("button", name="Skip practice").click()
    page.reach(state="labeling")
    assert page.tab.is_hidden("#cover")
    look("labeling")
    page.tab.keyboard.press("?")
    look("help")
    page.tab.keyboard.press("Escape")
    pool.pause("local")
    page.reach(state="paused")
    look("paused")
    somebody_answers_all(database)
    pool.pause("local", False)
    page.reach(state="waiting")
    page.has_said("cover-text", "waiting for clips:")
    look("waiting")
    assert found == []


def somebody_answers_all(database: ComparisonDatabase) -> None:
    run_out(database, *database.client.zrange(f"{database.prefix}leases", 0, -1))
    queue = QueryQueue(database.client, database.run_id)
    while lease := queue.claim("anna"):
        queue.complete(lease, Answer.TIE, lease.token)


def test_the_view_can_be_turned_by_buttons_at_any_width_and_no_button_covers_another(
    database: ComparisonDatabase, visit: Callable[..., Visit]
) -> None:
    """640 x 450 is a window of 1280 x 900 at 200 %."""
    offer_pairs(database, 4)
    page = visit().open()
    for width, height in ((1280, 900), (770, 900), (640, 450), (320, 700)):
        page.tab.set_viewport_size({"width": width, "height": height})
        page.drawn()
        for name in ("Turn the view left", "Reset the view", "Turn the view right"):
            page.tab.get_by_role("button", name=name).click()
        boxes = [part.bounding_box() for part in page.tab.locator("#playback :is(button, input, output):visible").all()]
        assert all(box["x"] >= 0 and box["x"] + box["width"] <= width for box in boxes)
        for one, other in itertools.combinations(boxes, 2):
            assert (
                one["x"] + one["width"] <= other["x"]
                or other["x"] + other["width"] <= one["x"]
                or one["y"] + one["height"] <= other["y"]
                or other["y"] + other["height"] <= one["y"]
            )
