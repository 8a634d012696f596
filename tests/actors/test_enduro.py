"""Enduro's level mode: what the console's memory says is tried out by driving, and the scripted judge prefers what was
meant."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from actors.atari import AtariSimulator, Console, rom_path
from actors.clips import cut_clips
from actors.enduro import PASS_COST, REST, TRAFFIC, in_company, level_reward, passed, speed
from actors.environments import make_environments
from actors.policy import ActorCritic, PolicyConfig
from actors.replay import clip_frames
from actors.rollout import RolloutConfig, RolloutWorker
from actors.tasks import make_task
from tests.actors.enduro_drivers import BRAKE, THROTTLE, at_rest, drive, holding, level, throttle

ROAD = slice(0, 155)  # of the screen: above the dashboard


def changes(memories: np.ndarray) -> np.ndarray:
    return passed(memories[:-1], memories[1:])


def memory(of_speed: int, balance: int = 0, row: int = 22) -> np.ndarray:
    made = np.zeros(128, np.uint8)
    made[22], made[71], made[30] = of_speed, balance, row
    return made


def test_at_rest_all_others_pass_and_the_score_does_not_tell() -> None:
    memories, _, score = drive(at_rest, 600)
    assert set(speed(memories).tolist()) == {REST}
    assert set(changes(memories).tolist()) == {0, 1}
    assert changes(memories).sum() > 20
    assert score == 0


def test_throttle_and_brake_change_the_speed() -> None:
    faster = speed(drive(throttle, 40)[0])
    assert (np.diff(faster) >= 0).all()
    assert faster[-1] > 2 * TRAFFIC - 10
    pedals = iter([THROTTLE] * 40 + [BRAKE] * 20)
    both = speed(drive(lambda _: next(pedals), 60)[0])
    assert both[40] == faster[-1]
    assert both[-1] == REST


def test_cars_passed_are_those_that_the_screen_counts() -> None:
    """Flat out it passes some and is passed after a crash: below 200 on the screen the score says the same."""
    memories, _, score = drive(holding(60), 900)
    counter = (memories[:, 44] & 15) * 100 + (memories[:, 43] >> 4) * 10 + (memories[:, 43] & 15).astype(int)
    below = (counter[:-1] < 200) & (counter[1:] < 200)
    assert (changes(memories) < 0).sum() > 5
    assert (changes(memories) > 0).sum() > 3
    np.testing.assert_array_equal(changes(memories)[below], np.diff(counter)[below])
    assert score == 200 - counter[-1]


@pytest.mark.parametrize("noops", [2, 10, 30])
def test_on_the_first_day_all_other_cars_go_at_one_speed(noops: int) -> None:
    slow, same, fast = (changes(drive(holding(v), 600, noops)[0])[100:] for v in (TRAFFIC - 4, TRAFFIC, TRAFFIC + 4))
    assert (slow >= 0).all()
    assert slow.sum() >= 3
    assert not same.any()
    assert (fast < 0).sum() >= 3


def test_a_car_in_the_memory_is_a_car_on_the_road() -> None:
    console = Console(rom_path("enduro"))
    console.begin(2)
    for _ in range(300):
        console.step(level(console))
    assert in_company(console.memory())
    state, pictures = console._ale.cloneState(), []
    for others in (True, False):
        console._ale.restoreState(state)
        for row in range(27, 34):
            if not others:
                console._ale.setRAM(row, 0)
        assert in_company(console.memory()) == others
        console.step(0)
        pictures.append(console.screens.max(0)[ROAD])
    assert 20 < (pictures[0] != pictures[1]).sum() < 400, "a car, and nothing else, is gone"


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (memory(TRAFFIC), memory(TRAFFIC), 1.0),
        (memory(90), memory(90), 0.0),
        (memory(TRAFFIC), memory(TRAFFIC + (TRAFFIC - REST) // 2), 0.5),
        (memory(REST), memory(REST), 0.0),
        (memory(TRAFFIC), memory((REST + TRAFFIC) // 2), 0.5),
        (memory(TRAFFIC, row=0), memory(TRAFFIC, row=0), 0.5),
        (memory(TRAFFIC, 3), memory(TRAFFIC, 4), 1.0 - PASS_COST),
        (memory(TRAFFIC, 4), memory(TRAFFIC, 3), 1.0 - PASS_COST),
        (memory(TRAFFIC, 0), memory(TRAFFIC, 255), 1.0 - PASS_COST),
        (memory(REST, 255), memory(REST, 1), -2 * PASS_COST),
    ],
    ids=[
        "level",
        "fast",
        "faster",
        "rest",
        "slow",
        "alone",
        "was passed",
        "passed",
        "passed, over 0",
        "two passed it at rest",
    ],
)
def test_what_a_step_is_worth(before: np.ndarray, after: np.ndarray, expected: float) -> None:
    assert level_reward(before, after) == pytest.approx(expected)


def test_level_is_worth_more_than_racing_or_rest_and_more_with_a_car_than_alone() -> None:
    rest, race, alone, with_a_car = (
        drive(driver, 900)[1].mean() for driver in (at_rest, holding(60), holding(TRAFFIC), level)
    )
    assert max(rest, race) < -0.3
    assert 0.2 < alone < with_a_car
    assert with_a_car > 0.7


def test_it_is_enduro_but_for_what_people_are_told_and_what_it_is_worth() -> None:
    task, other = make_task("enduro-level"), make_task("enduro")
    assert task.preset.instruction == "Drive level with the other cars: neither pass nor be passed."
    assert task.observation_shape == other.observation_shape
    assert task.action.num_choices == other.action.num_choices
    assert (task.preset.clip_steps, task.horizon) == (other.preset.clip_steps, other.horizon)
    assert task.preset.overrides == {**other.preset.overrides, "reward.normalisation": "anchored"}
    assert task.preset.by_algorithm == other.preset.by_algorithm
    assert task.caution == ""
    assert make_task("ALE/Enduro-v5").preset == other.preset


def test_what_the_learner_is_given_is_enduros_to_the_byte() -> None:
    given = []
    for name in ("enduro-level", "enduro"):
        task = make_task(name)
        torch.manual_seed(0)
        policy = ActorCritic(PolicyConfig(torso="mnih-2013"), task.observation_shape, task.action)
        worker = RolloutWorker(task, PolicyConfig(torso="mnih-2013"), RolloutConfig(1, 60), worker=0, seed=1)
        given.append(worker.step(policy.export(0)))
    (rollout, hidden), (other, others) = given
    for field in ("observations", "actions", "log_probs", "terminated", "truncated", "final_observations"):
        np.testing.assert_array_equal(getattr(rollout, field), getattr(other, field))
    assert hidden.states.shape == others.states.shape == (60, 1, 0)
    assert hidden.true_rewards.any()
    assert not np.array_equal(hidden.true_rewards, others.true_rewards)
    task = make_task("enduro-level")
    clip = cut_clips(rollout, hidden, 25, task.action)[1]
    assert len(clip_frames(task, clip)) == 25  # raises where the agent had seen anything else


def test_a_world_pays_by_the_scripted_judge_and_keeps_the_score_apart() -> None:
    world = make_environments(make_task("enduro-level"), 2, seed=3, stagger=False)
    emulator = world.emulator
    assert isinstance(emulator, AtariSimulator)
    console = emulator._consoles[1]
    drivers, points, score = (at_rest, holding(60)), np.zeros(2), np.zeros(2)
    for _ in range(300):
        before = emulator.memories()
        actions = np.array([each(own) for each, own in zip(drivers, emulator._consoles, strict=True)])
        moment = world.step(actions)
        slow = [level_reward(*pair) for pair in zip(before, emulator.memories(), strict=True)]
        np.testing.assert_allclose(moment.true_rewards, slow, rtol=1e-6)
        points += emulator.points()
        score += emulator.scored()
    assert score[0] == 0 > points[0]
    counter = int(console.memory()[43])
    assert score[1] == 200 - (100 * (int(console.memory()[44]) & 15) + 10 * (counter >> 4) + (counter & 15))
    world.close()
