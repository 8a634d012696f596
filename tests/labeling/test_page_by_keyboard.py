"""A whole session at the labeling page without a mouse, in a real browser. `-s` prints how fast it went."""

from __future__ import annotations

import itertools
import json
from typing import Any

import numpy as np
import pytest

from reward_service.database import START, ComparisonDatabase
from tests.labeling.browsing import KEYS, LATENCY_PROBE, Visit, person, served, until
from tests.labeling.paintings import TASK as PICTURES
from tests.labeling.paintings import dot_clips, offer_dots_again
from tests.labeling.pool import current_answers, keep_practice

pytestmark = [pytest.mark.browser, pytest.mark.redis]

# How often a pointer did anything.
POINTER_PROBE = """
window.pointed = 0;
for (const name of ["pointerdown", "pointermove", "touchstart", "wheel"]) {
  addEventListener(name, () => { window.pointed += 1; }, true);
}
"""


def see_a_pair(page: Visit) -> None:
    until(lambda: page.data("query") != "", "the first frame of a pair")
    page.drawn()


def label_fifty(page: Visit) -> dict[str, str]:
    """From the first focus on: practice, twenty answers, one taken back, eleven more, a look at the help, and the rest.
    What stands then: query -> answer."""
    press = page.tab.keyboard.press
    press("Tab")
    assert page.tab.evaluate("document.activeElement.matches('a:focus-visible, button:focus-visible')")
    for number in (1, 2, 3):
        page.has_said("badge", f"Practice {number} of 3")
        page.drawn()
        press("ArrowLeft")
        page.has_said("notice", "by the task's own measure.")
        press("Enter")
    see_a_pair(page)
    page.tab.evaluate("window.latencies = []")
    answers = itertools.cycle(KEYS)
    expected: dict[str, str] = {}

    def label(count: int) -> None:
        for answer in itertools.islice(answers, count):
            expected[page.answer(answer)] = answer

    label(20)
    page.reach(saved="0")
    see_a_pair(page)
    press("z")
    page.has_said("notice", "Taken back")
    taken_back, _ = expected.popitem()
    page.reach(saved="0")
    label(10)
    see_a_pair(page)
    shown = page.data("query")
    press("?")
    assert page.tab.is_visible("#help")
    press("ArrowLeft")
    press("Escape")
    assert not page.tab.is_visible("#help")
    assert page.data("query") == shown, "no key answers behind the help"
    label(50 - len(expected))
    page.reach(state="waiting", saved="0")
    assert taken_back in expected, "it was asked again"
    return expected


@pytest.mark.timeout(300)  # a minute where other tests are at work, too
def test_fifty_answers_by_keyboard_alone_from_the_first_visit_on(browser: Any, database: ComparisonDatabase) -> None:
    """With pictures for clips, which cost a browser without a graphics card little."""
    assert len(offer_dots_again(database, 50, clips=14)) == 50
    keep_practice(database, dot_clips(rollouts=6, seed=3))
    with served(database, PICTURES) as address, person(browser, address, moving=True) as page:
        for probe in (LATENCY_PROBE, POINTER_PROBE):
            page.context.add_init_script(probe)
        page.open("practice")
        expected = label_fifty(page)
        page.drawn()
        pointed, found_ms = page.tab.evaluate("[window.pointed, window.latencies]")
    assert pointed == 0
    assert len(expected) == 50
    assert current_answers(database) == expected
    log, _ = database.labels_since(START)
    given = [label for label in log if label.answer is not None]
    assert len(log) == 52, "fifty-one answers, one of them taken back, and its retraction"
    assert {json.loads(label.evidence)["input"] for label in given} == {"key"}
    assert len(found_ms) == 51
    print(f"key press to next pair, 51 presses: mean {np.mean(found_ms):.0f} ms")
