"""The run page's gallery where not all clips can be shown, in a real browser."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from labeling.gallery import NUM_CLIPS
from reward_service.database import ComparisonDatabase
from tests.labeling.browsing import Visit, until
from tests.labeling.pool import offer_pairs

pytestmark = [pytest.mark.browser, pytest.mark.redis]

LOSE_MEMORY = "() => { WebGL2RenderingContext.prototype.clear = () => { throw new Error('out of memory'); }; }"
WATCH = """() => {
  const gallery = document.getElementById("gallery");
  const look = () => { window.isTriedAgain ||= !gallery.hidden; };
  new MutationObserver(look).observe(gallery, { attributeFilter: ["hidden"] });
}"""
SHOWN = "#clips figure:not([hidden])"


def test_clips_that_the_browser_cannot_show_are_left_out_and_asked_for_once(
    database: ComparisonDatabase, visit: Callable[..., Visit]
) -> None:
    offer_pairs(database, 4)
    newest = database.clips.newest(NUM_CLIPS)
    asked: list[str] = []

    def spoil(route: Any) -> None:
        clip_id = route.request.url.rpartition("/")[2]
        asked.append(clip_id)
        told = route.fetch().json()
        if clip_id == newest[0]:
            told["clip"]["positions"] = ""
        route.fulfill(status=200, body=json.dumps(told))

    page = visit().hurried()
    page.context.route("**/api/clips/*", spoil)
    page.look_at("run")
    page.tab.wait_for_selector("#gallery[data-drawn=true]", timeout=20_000)
    assert page.tab.locator(SHOWN).count() == NUM_CLIPS - 1
    requests: list[str] = []
    page.tab.on("request", lambda request: requests.append(request.url.rpartition("/")[2]))

    def has_asked(times: int) -> bool:
        page.context.clock.fast_forward(5_000)
        return requests.count("gallery") >= times

    until(lambda: has_asked(2), "the gallery to be asked for twice", every_s=0.1)
    first, second, *_ = (index for index, name in enumerate(requests) if name == "gallery")
    assert requests[first:second].count("history") == 3, "every third time"
    assert sorted(asked) == sorted(newest)
    page.reach(state="live")
    page.tab.evaluate(LOSE_MEMORY)
    page.tab.set_viewport_size({"width": 900, "height": 740})  # all is drawn anew
    page.tab.locator("#gallery").wait_for(state="hidden", timeout=3_000)
    page.tab.evaluate(WATCH)
    until(lambda: has_asked(4), "more looks at the gallery", every_s=0.1)
    page.reach(state="live")
    page.drawn()
    assert not page.tab.evaluate("window.isTriedAgain"), "the same clips are not"
