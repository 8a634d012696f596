"""Whether a novel behaviour is there: judges of whole episodes, from the simulator's states alone; of an Atari game,
from the memory of its console.

    JUDGES["hopper-backflip"].judge(states)    # states [T, B, S] -> {"flips_landed": [B], ...}

`twoclips evaluate` reports them. No labeler, no reward model and no learner sees them: an agent may please the scripted
judge of `actors.behaviours` or `actors.enduro` without doing what was meant, and that is to be found out here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import mujoco
import numpy as np

from actors.behaviours import (
    CHEETAH_HALF_LENGTHS_M,
    CHEETAH_RADII_M,
    HOPPER_HALF_LENGTHS_M,
    HOPPER_RADII_M,
    clearances,
)
from actors.enduro import TRAFFIC, in_company, passed, speed
from actors.mujoco import load_model

Array = np.ndarray

TOUCH_M = 0.01  # a capsule that is nearer to the floor than this touches it: contacts begin at 0.001 and are soft
UPRIGHT_RAD = np.pi / 6
HOLD_STEPS = 31  # a quarter of a second of the hopper
FORWARD_M_PER_S = 0.5
_CHEETAH_STEP_S = 0.05
APART_STEPS = 30  # two seconds of a game
_GAME_STEP_S = 4 / 60


@dataclass(frozen=True)
class Judge:
    """figures: name -> what it says, in words. judge: states [T, B, S] of B episodes -> each figure [B]."""

    figures: dict[str, str]
    judge: Callable[[Array], dict[str, Array]]


def flips_landed(touches: Array, angle: Array) -> int:
    """Flips of one episode. touches [T, 3] bool: torso, thigh, foot on the floor; angle [T], the torso's in radians,
    not wrapped, smaller where it has turned backwards.

    The hopper stands where its foot touches, nothing else does, and its torso is within 30 degrees of upright. A flip
    is landed where it stands one turn further back than when it last stood; neither in between nor in the quarter of a
    second after it does torso or thigh touch (the leg's upper end is inside of the thigh's, its lower end at the foot).
    Two turns in one jump are two flips; where something touched in between, as in a roll over the floor, there is none.
    """
    fallen = touches[:, 0] | touches[:, 1]
    turns = np.round(angle / (2 * np.pi))
    stands = touches[:, 2] & ~fallen & (np.abs(angle - 2 * np.pi * turns) < UPRIGHT_RAD)
    landed, standing = 0, np.flatnonzero(stands)
    for before, step in pairwise(standing):
        until = step + HOLD_STEPS + 1
        if turns[step] < turns[before] and until <= len(angle) and not np.any(fallen[before:until]):
            landed += int(turns[before] - turns[step])
    return landed


def _backflips(states: Array) -> dict[str, Array]:
    low = _clearances("hopper-backflip", states, HOPPER_RADII_M, HOPPER_HALF_LENGTHS_M)
    touches, angle = low[:, :, [0, 1, 3]] < TOUCH_M, states[:, :, 2]
    count = range(states.shape[1])
    return {
        "flips_landed": np.array([flips_landed(touches[:, world], angle[:, world]) for world in count], float),
        "turns": (angle[0] - angle[-1]) / (2 * np.pi),
        "lying_share": touches[:, :, :2].any(axis=2).mean(axis=0),
    }


def one_foot_share(touches: Array, speed: Array) -> float:
    """Of one episode, share of the steps forward on the floor in which one foot alone touches it, and always the same.

    touches [T, 8] bool: torso, head, hind thigh, shin, foot, front thigh, shin, foot; speed [T] in m/s. A step goes
    forward at 0.5 m/s or more. Flight is no proof of anything: steps in which nothing touches do not count. A leg
    stands on its foot or, where that is bent, on its shin.
    """
    forward = (speed >= FORWARD_M_PER_S) & touches.any(axis=1)
    feet = np.stack((touches[:, 3:5].any(axis=1), touches[:, 6:].any(axis=1)))
    other = touches[:, [0, 1, 2, 5]].any(axis=1)
    alone = [(feet[foot] & ~feet[1 - foot] & ~other & forward).sum() for foot in (0, 1)]
    return float(max(alone) / max(1, forward.sum()))


def _one_leg(states: Array) -> dict[str, Array]:
    touches = _clearances("half-cheetah-one-leg", states, CHEETAH_RADII_M, CHEETAH_HALF_LENGTHS_M) < TOUCH_M
    x, worlds = states[:, :, 0].astype(float), range(states.shape[1])
    speed = np.diff(x, axis=0, append=2 * x[-1:] - x[-2:-1]) / _CHEETAH_STEP_S
    return {
        "one_foot_share": np.array([one_foot_share(touches[:, world], speed[:, world]) for world in worlds]),
        "forward_share": (speed >= FORWARD_M_PER_S).mean(axis=0),
        "speed_m_per_s": speed.mean(axis=0),
    }


def level_share(passes: Array, driving: Array, company: Array) -> float:
    """Of one game, share of the steps that drive level with the traffic: driving, another car in sight, and no car
    passes either way within two seconds before or after. passes, driving, company [T] bool, of each step."""
    spread = np.convolve(passes, np.ones(2 * APART_STEPS + 1))[APART_STEPS : APART_STEPS + len(passes)]
    return float((driving & company & (spread < 0.5)).mean())


def _level(memories: Array) -> dict[str, Array]:
    """memories [T, B, 128] uint8. Driving is half as fast as the traffic, or faster."""
    games = range(memories.shape[1])
    driving, company = speed(memories) >= TRAFFIC / 2, in_company(memories)
    passes = np.abs(passed(memories[:-1], memories[1:]))
    passes = np.concatenate((passes, np.zeros_like(memories[:1, :, 0], int)))
    return {
        "level_share": np.array([level_share(passes[:, g] > 0, driving[:, g], company[:, g]) for g in games]),
        "passes_per_min": passes.mean(axis=0) * 60 / _GAME_STEP_S,
        "driving_share": driving.mean(axis=0),
    }


def _clearances(name: str, states: Array, radii_m: Array, half_lengths_m: Array) -> Array:
    """`clearances` of every capsule at every state, [T, B, G] in m."""
    library: Any = mujoco  # no stubs
    model = load_model(name)
    data = library.MjData(model)
    flat = states.reshape(-1, states.shape[-1])
    poses = {"geom_xpos": np.empty((len(flat), model.ngeom, 3)), "geom_xmat": np.empty((len(flat), model.ngeom, 9))}
    for index, state in enumerate(flat):
        data.qpos[:] = state[: model.nq]
        library.mj_kinematics(model, data)
        poses["geom_xpos"][index], poses["geom_xmat"][index] = data.geom_xpos, data.geom_xmat
    return clearances(poses, radii_m, half_lengths_m).reshape(*states.shape[:2], -1)


JUDGES = {
    "hopper-backflip": Judge(
        {
            "flips_landed": "backward flips per episode that end upright on the foot and do not fall for 0.25 s",
            "turns": "all backward turns of the torso per episode, rolls too",
            "lying_share": "share of steps in which torso or thigh touches the floor",
        },
        _backflips,
    ),
    "half-cheetah-one-leg": Judge(
        {
            "one_foot_share": "share of the forward steps on the floor in which one and the same foot alone touches it",
            "forward_share": "share of all steps that go forward at 0.5 m/s or more",
            "speed_m_per_s": "mean forward speed",
        },
        _one_leg,
    ),
    "enduro-level": Judge(
        {
            "level_share": "share of steps driving, a car in sight, and none passing either way within 2 s",
            "passes_per_min": "cars that pass it or that it passes, per minute of the game",
            "driving_share": "share of steps at half the traffic's speed or more",
        },
        _level,
    ),
}
