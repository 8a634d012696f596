"""Judges of whole episodes, on hand-made sequences whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from actors.atari_games import GAMES
from actors.judges import APART_STEPS, HOLD_STEPS, JUDGES, flips_landed, level_share, one_foot_share
from actors.tasks import make_task

STAND, FLY, LIE = (False, False, True), (False, False, False), (True, False, False)
TURN = -2 * np.pi


def episode(*parts: tuple[tuple[bool, bool, bool], int, float]) -> tuple[np.ndarray, np.ndarray]:
    """Parts (what touches, steps, angle at the end of it) -> touches [T, 3], angle [T]."""
    touches, angle = [], [0.0]
    for touch, steps, end in parts:
        touches += [touch] * steps
        angle += np.linspace(angle[-1], end, steps + 1)[1:].tolist()
    return np.array(touches), np.array(angle[1:])


BEFORE = (STAND, 20, 0.0)
FLIP = (FLY, 60, TURN)
AFTER = (STAND, HOLD_STEPS + 5, TURN)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([BEFORE, FLIP, AFTER], 1),
        ([BEFORE, (FLY, 90, 2 * TURN), (STAND, 40, 2 * TURN)], 2),
        ([BEFORE, FLIP, AFTER, (FLY, 60, 2 * TURN), (STAND, 40, 2 * TURN)], 2),
        ([BEFORE, FLIP, (STAND, 5, TURN), (FLY, 60, 2 * TURN), (STAND, 40, 2 * TURN)], 2),
        ([BEFORE, (FLY, 60, TURN - 0.4), (STAND, 40, TURN)], 1),
        ([BEFORE, (STAND, 200, 0.0)], 0),
        ([BEFORE, (FLY, 60, -TURN), (STAND, 40, -TURN)], 0),
        ([BEFORE, (LIE, 60, TURN), AFTER], 0),
        ([BEFORE, (FLY, 30, TURN / 2), (LIE, 1, TURN / 2), (FLY, 30, TURN), AFTER], 0),
        ([BEFORE, FLIP, (STAND, 5, TURN), (FLY, 15, TURN - 1.5), (LIE, 40, TURN - 1.5)], 0),
        ([BEFORE, FLIP, (STAND, HOLD_STEPS - 5, TURN)], 0),
        ([BEFORE, (FLY, 60, TURN + 0.7), (STAND, 40, TURN + 0.7)], 0),
        ([BEFORE, (FLY, 60, TURN / 2), (FLY, 60, 0.0), (STAND, 40, 0.0)], 0),
        ([BEFORE, FLIP, AFTER, (FLY, 60, 0.0), (STAND, 40, 0.0), (FLY, 60, TURN), AFTER], 2),
        ([(FLY, 60, TURN), AFTER], 0),
    ],
    ids=[
        "one",
        "two turns in one jump",
        "one after the other",
        "the next one begun at once",
        "landed leaning, then upright",
        "only stood",
        "forward",
        "rolled over the ground",
        "touched on the way",
        "fell within a quarter of a second",
        "the episode ended too soon to know",
        "never came upright",
        "half a turn and back",
        "back, forward, back",
        "did not begin on the foot",
    ],
)
def test_flips_that_are_landed(parts: list[tuple[tuple[bool, bool, bool], int, float]], expected: int) -> None:
    assert flips_landed(*episode(*parts)) == expected


def test_flips_are_counted_from_states_of_the_simulator() -> None:
    """Two worlds: one flips 2.5 m above the ground and lands, the other rolls over it."""
    steps, names = 150, JUDGES["hopper-backflip"].figures
    states = np.zeros((steps, 2, 12), np.float32)
    angle = np.interp(np.arange(steps), [20, 80], [0.0, TURN])
    turning = (angle < 0) & (angle > TURN)
    states[:, :, 2] = angle[:, None]
    states[:, 0, 1] = np.where(turning, 2.5, 1.21)
    states[:, 1, 1] = np.where(turning, 0.3, 1.21)
    found = JUDGES["hopper-backflip"].judge(states)
    assert set(found) == set(names)
    assert found["flips_landed"].tolist() == [1.0, 0.0]
    np.testing.assert_allclose(found["turns"], [1.0, 1.0], atol=1e-6)
    assert found["lying_share"][0] == 0.0
    assert 0.1 < found["lying_share"][1] < 0.4


def feet(steps: int, hind: bool, front: bool, back: bool = False) -> np.ndarray:
    touches = np.zeros((steps, 8), bool)
    touches[:, 4], touches[:, 7], touches[:, 0] = hind, front, back
    return touches


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([feet(100, True, False)], 1.0),
        ([feet(100, False, True)], 1.0),
        ([feet(50, True, False), feet(50, False, True)], 0.5),
        ([feet(60, True, False), feet(40, True, True)], 0.6),
        ([feet(60, True, False), feet(40, False, False)], 1.0),
        ([feet(60, True, False), feet(40, True, False, back=True)], 0.6),
        ([feet(100, False, False)], 0.0),
    ],
    ids=["hind", "front", "in turn", "both now and then", "flight counts for nothing", "on its back", "only flight"],
)
def test_one_foot(parts: list[np.ndarray], expected: float) -> None:
    touches = np.concatenate(parts)
    assert one_foot_share(touches, np.full(len(touches), 2.0)) == pytest.approx(expected)
    assert one_foot_share(touches, np.full(len(touches), 0.1)) == 0.0, "only what goes forward counts"


def test_one_foot_from_states_of_the_simulator() -> None:
    """Two worlds glide forward at 2 m/s: nose up on the hind foot, and level on both feet."""
    states = np.zeros((50, 2, 18), np.float32)
    states[:, :, 0] = 0.1 * np.arange(50)[:, None]
    states[:, 0, 1:3] = 0.13, -0.6
    states[:, 1, 1] = -0.1
    found = JUDGES["half-cheetah-one-leg"].judge(states)
    assert found["forward_share"].tolist() == [1.0, 1.0]
    np.testing.assert_allclose(found["speed_m_per_s"], 2.0, rtol=1e-4)
    assert found["one_foot_share"].tolist() == [1.0, 0.0]


def test_level_is_driving_beside_somebody_with_no_car_passing_for_two_seconds() -> None:
    yes, passes = np.ones(300, bool), np.zeros(300, bool)
    assert level_share(passes, yes, yes) == 1.0
    assert level_share(passes, ~yes, yes) == level_share(passes, yes, ~yes) == 0.0
    passes[[0, 150]] = True
    apart = (APART_STEPS + 1) + (2 * APART_STEPS + 1)
    assert level_share(passes, yes, yes) == pytest.approx(1 - apart / 300)
    passes[::APART_STEPS] = True
    assert level_share(passes, yes, yes) == 0.0
    assert level_share(np.ones(5, bool), yes[:5], yes[:5]) == 0.0


def test_level_from_memories_of_the_console() -> None:
    """Two games of a minute: level beside a car but for one that passes in its midst, and at rest while 60 pass."""
    steps = 900
    memories = np.zeros((steps, 2, 128), np.uint8)
    memories[:, 0, 22], memories[:, 1, 22] = 24, 6
    memories[:, :, 30] = 22
    memories[:, 0, 71] = 255 - (np.arange(steps) > 450)
    memories[:, 1, 71] = (250 + np.arange(steps) // 15 + 1) % 256
    found = JUDGES["enduro-level"].judge(memories)
    assert set(found) == set(JUDGES["enduro-level"].figures)
    np.testing.assert_allclose(found["passes_per_min"], [1.0, 59.0], atol=1e-9)
    assert found["driving_share"].tolist() == [1.0, 0.0]
    np.testing.assert_allclose(found["level_share"], [1 - (2 * APART_STEPS + 1) / steps, 0.0])


@pytest.mark.parametrize("name", JUDGES)
def test_a_judge_belongs_to_a_task(name: str) -> None:
    task = make_task(name)
    assert task.mujoco_model == name or (task.atari_rom is not None and GAMES[name].scripted_judge is not None)
