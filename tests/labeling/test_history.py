"""The curve of a run is kept from its start in a bounded number of points, whatever happens on the way."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labeling.history import MAX_POINTS, History
from reward_service.database import ComparisonDatabase

pytestmark = pytest.mark.redis


@pytest.fixture
def history(database: ComparisonDatabase) -> History:
    return History(database.client, database.run_id)


def test_figures_come_back_as_columns_and_what_was_not_known_is_none(history: History) -> None:
    history.record({"phase": "warm-up", "labels": 3.0})  # not learning yet: no place on the curve
    history.record({"agent_steps": 1000, "labels": 3.0, "true_return": None, "learn_s": 0.5})
    history.record({"agent_steps": 2000, "labels": 5.0, "true_return": -1.5})
    assert history.columns() == {
        "agent_steps": [1000, 2000],
        "true_return": [None, -1.5],
        "predicted_return": [None, None],
        "labels": [3.0, 5.0],
        "validation_accuracy": [None, None],
        "segment_correlation": [None, None],
    }


def test_a_long_run_stays_bounded_evenly_spread_and_keeps_both_ends(history: History) -> None:
    steps = range(0, 5000 * 7, 7)
    for at in steps:
        history.record({"agent_steps": at, "labels": at / 10})
        history.record({"agent_steps": at, "labels": at / 10})  # the reply was lost
    kept = history.columns()["agent_steps"]
    assert MAX_POINTS / 2 - 2 <= len(kept) <= MAX_POINTS
    assert (kept[0], kept[-1]) == (0, steps[-1])
    gaps = [b - a for a, b in pairwise(kept)]
    assert max(gaps[:-1]) < 2 * min(gaps[:-1]), "no part of the curve is coarser than another"
    assert history.columns()["labels"] == [at / 10 for at in kept]


def test_a_run_that_goes_on_from_a_checkpoint_takes_back_what_was_further_on(history: History) -> None:
    for at in (100, 200, 300, 400):
        history.record({"agent_steps": at, "labels": 1.0})
    history.record({"agent_steps": 250, "labels": 2.0})
    assert history.columns()["agent_steps"] == [100, 200, 250]
    assert history.columns()["labels"] == [1.0, 1.0, 2.0]


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(moves=st.lists(st.integers(-300, 900), min_size=1, max_size=40))
def test_whatever_is_recorded_the_points_are_in_order_and_the_newest_is_the_last(
    database: ComparisonDatabase, moves: list[int]
) -> None:
    history, at = History(database.client, database.run_id), 0
    for move in moves:
        at = max(0, at + move)
        history.record({"agent_steps": at})
        kept = history.columns()["agent_steps"]
        assert kept == sorted(set(kept))
        assert kept[-1] == at
