"""How fast the labeling page is, in a real browser. `-s` prints the times."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable

import numpy as np
import pytest

from reward_service.database import ComparisonDatabase
from tests.labeling.browsing import KEYS, LATENCY_PROBE, Visit
from tests.labeling.pool import offer_pairs

pytestmark = [pytest.mark.browser, pytest.mark.redis]

MEDIAN_MS, P95_MS = 50.0, 100.0
NOISE = 2.0  # software drawing on a machine that does other things, too


def latencies_ms(database: ComparisonDatabase, visit: Callable[..., Visit], answers: int) -> tuple[float, float]:
    """Median and 95th percentile from a key press to the next pair."""
    offer_pairs(database, answers + 4)
    page = visit(every_frame=True)
    page.context.add_init_script(LATENCY_PROBE)
    page.open()
    time.sleep(1.0)
    for answer in itertools.islice(itertools.cycle(KEYS), answers):
        page.answer(answer)
        time.sleep(0.4)  # nobody is faster
    found_ms = page.tab.evaluate("window.latencies")
    assert len(found_ms) == answers
    median_ms, slow_ms = np.percentile(found_ms, [50, 95])
    print(f"key press to next pair: p50 {median_ms:.0f} ms, p95 {slow_ms:.0f} ms")
    return median_ms, slow_ms


def test_the_next_pair_is_on_screen_at_once(database: ComparisonDatabase, visit: Callable[..., Visit]) -> None:
    median_ms, _ = latencies_ms(database, visit, 9)
    assert median_ms <= MEDIAN_MS * NOISE


@pytest.mark.slow  # it needs a machine that does nothing else
def test_the_next_pair_is_hardly_ever_late(database: ComparisonDatabase, visit: Callable[..., Visit]) -> None:
    _, slow_ms = latencies_ms(database, visit, 30)
    assert slow_ms <= P95_MS * NOISE
