import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labeling.schedule import LabelSchedule


def due_slowly(schedule: LabelSchedule, step: int) -> float:
    """Twin: the rate c / (T + c), added up agent step by agent step."""
    c = schedule.total_steps / 10
    rates = c / (np.arange(schedule.total_steps) + 0.5 + c)
    initial = schedule.initial_fraction * schedule.total_labels
    return initial + (schedule.total_labels - initial) * rates[:step].sum() / rates.sum()


@pytest.mark.parametrize("step", [0, 1, 100, 2_000, 10_000, 19_999, 20_000])
def test_due_is_the_integral_of_the_rate(step: int) -> None:
    schedule = LabelSchedule(total_labels=700, total_steps=20_000)
    assert schedule.due(step) <= due_slowly(schedule, step) + 0.01
    assert schedule.due(step) > due_slowly(schedule, step) - 1.01


def test_the_papers_numbers() -> None:
    schedule = LabelSchedule(total_labels=700, total_steps=20_000_000)
    assert schedule.initial_labels == schedule.due(0) == 175
    assert schedule.due(2_000_000) == 175 + int(525 * np.log(2) / np.log(11))
    assert schedule.due(20_000_000) == schedule.due(10**9) == 700


@pytest.mark.parametrize(("total", "first"), [(3, 3), (4, 4), (15, 4), (20, 5)])
def test_the_first_labels_are_never_so_few_that_all_may_be_held_out(total: int, first: int) -> None:
    assert LabelSchedule(total, 1000).due(0) == first
    assert LabelSchedule(total, 1000, initial_fraction=0.0).due(0) == min(total, 4)


def test_offline_wants_all_at_the_start() -> None:
    assert LabelSchedule(700, 1000, offline=True).due(0) == 700


@given(
    total=st.integers(0, 10_000),
    steps=st.integers(1, 10**8),
    fraction=st.floats(0, 1),
    offline=st.booleans(),
    data=st.data(),
)
def test_due_never_falls_and_ends_at_the_total(
    total: int, steps: int, fraction: float, offline: bool, data: st.DataObject
) -> None:
    schedule = LabelSchedule(total, steps, fraction, offline)
    times = sorted(data.draw(st.lists(st.integers(0, steps), max_size=10)))
    due = [schedule.due(time) for time in [0, *times, steps]]
    assert due == sorted(due)
    assert due[0] == schedule.initial_labels
    assert due[-1] == total


@pytest.mark.parametrize("wrong", [(-1, 10, 0.25), (10, 0, 0.25), (10, 10, 1.5), (10, 10, float("nan"))])
def test_impossible_schedules_are_refused(wrong: tuple[int, int, float]) -> None:
    with pytest.raises(ValueError, match=r"schedule needs|initial_fraction"):
        LabelSchedule(*wrong)
