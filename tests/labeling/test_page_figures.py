"""What the labeling page says about labels and learning, in a real browser, beside what the database says."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from labeling.progress import RUN_STATUS
from reward_service.database import ComparisonDatabase
from tests.labeling.browsing import Visit, until
from tests.labeling.pool import offer_pairs

pytestmark = [pytest.mark.browser, pytest.mark.redis]

NAMES = ["labels", "due", "phase", "steps", "true-return", "predicted-return", "accuracy", "yours"]


def figures(page: Visit) -> dict[str, str]:
    return {name: page.text(name) for name in NAMES}


def says(page: Visit, expected: dict[str, str]) -> None:
    until(lambda: figures(page) == expected, f"{expected}, not {figures(page)}")


def meter(page: Visit) -> dict[str, str | float | bool]:
    """What the meter says, and of its whole length how much is filled, and where the mark of what is due stands."""
    return page.tab.evaluate(
        """() => {
          const [meter, share, due] = ["meter", "meter-share", "meter-due"].map((id) => document.getElementById(id));
          const whole = meter.getBoundingClientRect(), mark = due.getBoundingClientRect();
          return {
            now: meter.getAttribute("aria-valuenow"), text: meter.getAttribute("aria-valuetext"),
            filled: share.getBoundingClientRect().width / whole.width, isMarked: !due.hidden,
            due: (mark.x + mark.width / 2 - whole.x) / whole.width,
          };
        }"""
    )


def test_the_page_says_exactly_what_the_run_tells_and_keeps_up_with_it(
    database: ComparisonDatabase, visit: Callable[..., Visit]
) -> None:
    offer_pairs(database, 6)
    page = visit().open()
    page.answer("left")
    page.answer("tie")
    page.reach(saved="0")
    untold = {"steps": "–", "true-return": "–", "predicted-return": "–", "accuracy": "–", "phase": "not at work now"}
    says(page, {"labels": "2 labels", "due": "none due now", **untold, "yours": "2"})
    assert meter(page)["isMarked"] is False

    told = {"labels_wanted": 8, "labels_due": 4.0, "steps": 2_000_000, "agent_steps": 1_234_567, "phase": "warm-up"}
    learned = {"true_return": 4211.7, "predicted_return": -0.5, "validation_accuracy": 0.876}
    database.set_status(RUN_STATUS, {**told, **learned})
    learning = {"steps": "1.23M of 2M", "true-return": "4,210", "predicted-return": "-0.5", "accuracy": "88 %"}
    says(page, {"labels": "2 of 8 labels", "due": "2 due now", "phase": "warm-up", **learning, "yours": "2"})
    shown = meter(page)
    assert (shown["now"], shown["text"], shown["isMarked"]) == ("25", "2 of 8 labels", True)
    assert (shown["filled"], shown["due"]) == (pytest.approx(0.25, abs=0.01), pytest.approx(0.5, abs=0.01))

    page.answer("right")
    page.reach(saved="0")
    database.set_status(RUN_STATUS, {**told, "phase": None, "agent_steps": 1_240_000, "true_return": 0.0})
    learning = {"steps": "1.24M of 2M", "true-return": "0", "predicted-return": "–", "accuracy": "–"}
    says(page, {"labels": "3 of 8 labels", "due": "1 due now", "phase": "at work", **learning, "yours": "3"})


def test_labels_beyond_what_is_due_are_not_asked_for(database: ComparisonDatabase, visit: Callable[..., Visit]) -> None:
    offer_pairs(database, 4)
    page = visit().open()
    page.answer("left")
    page.answer("left")
    page.reach(saved="0")
    database.set_status(RUN_STATUS, {"labels_wanted": 2, "labels_due": 2.0})
    page.has_said("labels", "2 of 2 labels")
    assert page.text("due") == "none due now"
    assert meter(page)["filled"] == pytest.approx(1.0, abs=0.01)
