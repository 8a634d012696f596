"""Who is taken for dead or stuck, and when it is started again."""

from __future__ import annotations

import pytest

from cluster.supervise import ComponentFailure, Life, SupervisionConfig


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


def life(clock: Clock, said: list[str] | None = None, **settings: float) -> Life:
    tell = (lambda *_: None) if said is None else lambda _, text: said.append(text)
    life = Life("reward service", SupervisionConfig(**settings), tell, clock)  # pyright: ignore[reportArgumentType]
    life.started()
    return life


def test_only_progress_is_a_sign_of_life(clock: Clock) -> None:
    worker = life(clock)
    worker.heard(7)
    clock.now_s += 15
    worker.heard(7)  # it answers, but has done nothing
    clock.now_s += 6
    assert worker.is_stuck
    worker.heard(8)
    assert not worker.is_stuck
    assert worker.silent_s == 0


def test_a_process_is_known_until_the_next_is_started(clock: Clock) -> None:
    worker = life(clock)
    worker.process_id = 42
    assert worker.as_row()["process_id"] == 42
    worker.started()
    assert worker.as_row()["process_id"] is None


def test_one_that_was_just_started_is_given_more_time(clock: Clock) -> None:
    worker = life(clock)
    clock.now_s += 100
    assert not worker.is_stuck
    clock.now_s += 21
    assert worker.is_stuck
    worker.ended("it was stuck")
    worker.started()
    assert not worker.is_stuck
    assert worker.restarts == 1


def test_one_that_builds_all_anew_is_given_as_much_time_as_at_its_start(clock: Clock) -> None:
    """As rollout workers do after each checkpoint; meanwhile they tell the count of before."""
    worker = life(clock)
    worker.heard(7)
    worker.rebuilding()
    clock.now_s += 100
    worker.heard(7)
    assert not worker.is_stuck
    assert not worker.is_silent(3)
    assert worker.as_row()["state"] == "starting"
    worker.heard(0)  # as built
    clock.now_s += 4
    assert worker.is_silent(3)
    assert worker.restarts == 0


def test_that_nobody_listened_is_no_silence(clock: Clock) -> None:
    worker = life(clock)
    worker.heard(3)
    clock.now_s += 100  # a long update of the policy, during which nobody asks
    worker.attend()
    assert (worker.silent_s, worker.is_stuck) == (0.0, False)
    clock.now_s += 21
    assert worker.is_stuck


def test_the_first_start_is_at_once_and_later_ones_ever_slower(clock: Clock) -> None:
    worker = life(clock)
    pauses = []
    for _ in range(8):
        worker.ended("killed")
        pauses.append(worker.pause_s)
        worker.started()
        clock.now_s += 1
    assert pauses[:4] == [0.0, 1.0, 2.0, 4.0]
    assert pauses[-1] == Life.MAX_PAUSE_S
    worker.heard(1)
    clock.now_s += 61  # it has lived
    worker.ended("killed")
    assert worker.pause_s == 0.0


def test_starting_in_vain_over_and_over_ends_the_run_with_the_reason(clock: Clock) -> None:
    worker = life(clock, give_up_after=3)
    for _ in range(3):
        worker.ended("out of memory")
        worker.started()
    with pytest.raises(ComponentFailure, match=r"4 times in a row \(out of memory\).*--workers.*--resume"):
        worker.ended("out of memory")


def test_an_old_answer_tells_nothing_of_the_time_since(clock: Clock) -> None:
    service = life(clock)
    service.heard(3)
    clock.now_s += 25
    service.heard(3)  # as it was 24 s ago
    assert service.is_stuck
    service.listened(24.0)
    assert not service.is_stuck
    service.listened(4.0)
    assert service.is_stuck


def test_what_nobody_asked_is_not_said_to_be_stuck(clock: Clock) -> None:
    service = life(clock)
    service.heard(3)
    service.listened()
    clock.now_s += 100  # a long update of the policy, at whose end status.json is written
    assert service.as_row()["state"] == "at work"
    service.listened()
    assert service.as_row()["state"] == "stuck"


def test_one_that_hangs_at_every_start_has_never_lived(clock: Clock) -> None:
    worker = life(clock, give_up_after=3)
    for _ in range(3):
        clock.now_s += 121
        assert worker.is_stuck
        worker.ended("it had done nothing for 121 s")
        worker.started()
    with pytest.raises(ComponentFailure, match="4 times in a row"):
        worker.ended("it had done nothing for 121 s")


def test_what_a_run_can_do_without_never_ends_it(clock: Clock) -> None:
    said: list[str] = []
    worker = life(clock, said, give_up_after=3)
    for _ in range(10):
        worker.ended("there is no simulator here", is_needed=False)
        worker.started()
    assert len(said) == 10
    assert worker.pause_s == Life.MAX_PAUSE_S


def test_deaths_far_apart_never_end_a_run(clock: Clock) -> None:
    worker = life(clock, give_up_after=3)
    for _ in range(50):
        worker.heard(1)
        clock.now_s += 61
        worker.ended("its node was taken away")
        worker.started()
    assert worker.restarts == 50


def test_what_is_told(clock: Clock) -> None:
    said: list[str] = []
    worker = life(clock, said)
    expected = {"name": "reward service", "state": "starting", "silent_s": 0.0, "restarts": 0, "why": ""}
    expected["process_id"] = None
    assert worker.as_row() == expected
    worker.heard(3)
    clock.now_s += 2.25
    assert worker.as_row() == {**expected, "state": "at work", "silent_s": 2.2}
    clock.now_s += 20
    assert worker.as_row()["state"] == "stuck"
    worker.ended("it was stuck")
    worker.started()
    assert worker.as_row() == {**expected, "restarts": 1, "why": "it was stuck"}
    assert said == ["the reward service is started again: it was stuck"]


@pytest.mark.parametrize("settings", [{"stuck_s": 0.0}, {"stuck_s": 30.0, "starting_s": 20.0}, {"give_up_after": 0}])
def test_impossible_patience_is_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="supervision needs"):
        SupervisionConfig(**settings)  # pyright: ignore[reportArgumentType]
