"""How the clips are looked at on the labeling page: how fast, from which step, and from where. Time passes for the page
as the test says, so that every frame is known."""

from __future__ import annotations

import json
from collections.abc import Callable

import imageio.v3 as imageio
import numpy as np
import pytest

from actors.tasks import make_task
from reward_service.database import START, ComparisonDatabase
from tests.labeling.browsing import FRAME_MS, Visit
from tests.labeling.pool import STEPS, TASK, offer_pairs

pytestmark = [pytest.mark.browser, pytest.mark.redis]

LAST = STEPS - 1
STEP_MS = 1000 * make_task(TASK).step_s


@pytest.fixture
def page(database: ComparisonDatabase, visit: Callable[..., Visit]) -> Visit:
    offer_pairs(database, 5)
    small = {"width": 640, "height": 480}  # every frame is drawn by the processor
    return visit(every_frame=True, viewport=small).open_with_time_stopped()


def frames_for(steps: float, speed: float = 1.0) -> int:
    """How many frames of the browser so many steps of the clips last."""
    return round(steps * STEP_MS / speed / FRAME_MS)


def press(page: Visit, *keys: str) -> None:
    for key in keys:
        page.tab.keyboard.press(key)


def step(page: Visit) -> int:
    """At which step the clips are."""
    return int(page.tab.input_value("#scrub"))


def is_playing(page: Visit) -> bool:
    return page.tab.get_attribute("#pause", "aria-label") == "Pause"


def test_plus_and_minus_change_the_speed_from_a_quarter_to_four_times(page: Visit) -> None:
    def speeds(key: str, times: int) -> list[str]:
        said = []
        for _ in range(times):
            press(page, key)
            said.append(page.text("speed"))
        return said

    assert speeds("+", 5) == ["1.5×", "2×", "3×", "4×", "4×"]
    assert speeds("-", 7) == ["3×", "2×", "1.5×", "1×", "0.5×", "0.25×", "0.25×"]
    page.answer("left")
    assert page.text("speed") == "0.25×", "the next pair has the speed of the last"


def test_the_clips_go_as_fast_as_the_speed_says(page: Visit) -> None:
    press(page, "-", "-")
    for speed in (0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0):
        assert page.text("speed") == f"{speed:g}×"
        press(page, "r")
        page.let_pass(frames_for(3, speed))
        assert step(page) == 3
        press(page, "+")


def test_comma_and_full_stop_go_one_frame_back_and_on_and_stand_still_there(page: Visit) -> None:
    press(page, "r")
    page.let_pass(frames_for(4.4))
    press(page, ".")
    assert (step(page), is_playing(page)) == (5, False)
    page.let_pass(frames_for(6))
    assert step(page) == 5
    press(page, ",")
    assert step(page) == 4
    for count in range(1, 4):
        page.tab.keyboard.down(".")  # from the second on Playwright sends it as a repetition: the key is held
        assert step(page) == 4 + count
    page.tab.keyboard.up(".")
    press(page, *"." * STEPS)
    assert step(page) == LAST
    press(page, *"," * (STEPS + 2))
    assert step(page) == 0
    press(page, " ")
    page.let_pass(frames_for(3))
    assert (step(page), is_playing(page)) == (3, True)


def test_r_plays_from_the_start_and_every_start_is_stored_as_a_play(page: Visit, database: ComparisonDatabase) -> None:
    page.answer("left")  # the next pair is played from its first frame on
    page.let_pass(frames_for(5))
    press(page, "r")
    assert step(page) == 0
    page.let_pass(frames_for(2))
    press(page, ".", "r")
    assert (step(page), is_playing(page)) == (0, True)
    page.let_pass(frames_for(LAST) + 1)
    assert step(page) == LAST
    page.let_pass(round(450 / FRAME_MS))
    assert step(page) == LAST, "the end, which is judged most, stays half a second"
    page.let_pass(round(100 / FRAME_MS))
    assert step(page) < LAST
    page.answer("left")
    page.answer("left")
    page.reach(saved="0")
    plays = [json.loads(label.evidence)["plays"] for label in database.labels_since(START)[0]]
    assert plays[1:] == [4, 1], "from the start, twice by key, and once by themselves"


def seen(page: Visit) -> np.ndarray:
    """Both clips as they are on screen, standing still."""
    page.let_pass()
    return imageio.imread(page.tab.locator("#stage").screenshot())[..., :3].astype(np.int16)


def share_moved(one: np.ndarray, other: np.ndarray) -> list[float]:
    """Which share of each clip's picture is another."""
    pictures = np.array_split(np.abs(one - other).max(axis=-1) > 8, 2, axis=1)
    return [float(picture.mean()) for picture in pictures]


def is_same(one: np.ndarray, other: np.ndarray) -> bool:
    return max(share_moved(one, other)) < 0.001


def is_another(one: np.ndarray, other: np.ndarray) -> bool:
    """Both clips are seen from elsewhere."""
    return min(share_moved(one, other)) > 0.02


def drag(page: Visit, by_x: int, by_y: int) -> None:
    box = page.tab.locator("#left").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.tab.mouse.move(x, y)
    page.tab.mouse.down()
    page.tab.mouse.move(x + by_x, y + by_y, steps=5)
    page.tab.mouse.up()


def test_brackets_turn_the_view_of_both_clips_and_nought_puts_it_back(page: Visit) -> None:
    press(page, ".")
    ahead = seen(page)
    press(page, "[")
    turned_left = seen(page)
    press(page, "]")
    assert is_same(seen(page), ahead)
    press(page, "]")
    turned_right = seen(page)
    assert is_another(turned_left, ahead)
    assert is_another(turned_right, ahead)
    assert is_another(turned_right, turned_left)
    press(page, "]", "]", "0")
    assert is_same(seen(page), ahead)


def test_dragging_turns_the_view_of_both_clips_and_a_double_click_puts_it_back(
    page: Visit, database: ComparisonDatabase
) -> None:
    query = page.data("query")
    press(page, ".")
    ahead = seen(page)
    drag(page, -300, 0)
    aside = seen(page)
    assert is_another(aside, ahead)
    press(page, *"]" * 7)  # 105 degrees
    assert is_same(seen(page), ahead), "a drag to the left is a turn to the left"
    drag(page, 0, 120)
    assert is_another(seen(page), ahead)
    page.tab.locator("#left").dblclick()
    assert is_same(seen(page), ahead)
    assert page.data("query") == query, "with a mouse no drag is an answer"
    assert database.num_labels() == 0
