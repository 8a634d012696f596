"""Scripted judges: what they see is what MuJoCo sees, and they prefer what was meant to what only looks like it."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest

from actors import behaviours
from actors.environments import make_environments, make_gymnasium
from actors.mujoco import MujocoSimulator, load_model
from actors.tasks import make_task

GEOMS = {
    "hopper-backflip": (
        behaviours.HOPPER_GEOMS,
        behaviours.HOPPER_RADII_M,
        behaviours.HOPPER_HALF_LENGTHS_M,
    ),
    "half-cheetah-one-leg": (
        behaviours.CHEETAH_GEOMS,
        behaviours.CHEETAH_RADII_M,
        behaviours.CHEETAH_HALF_LENGTHS_M,
    ),
}


def reward_of(name: str, velocity: float = 0.0, **state: float) -> float:
    """The scripted judge's reward for one pose; `state` sets coordinates: z, angle, turning, and joints by j3, j4 …"""
    model = load_model(name)
    data = mujoco.MjData(model)
    data.qpos[1], data.qpos[2], data.qvel[2] = state.get("z", 0.0), state.get("angle", 0.0), state.get("turning", 0.0)
    for joint in range(3, model.nq):
        data.qpos[joint] = state.get(f"j{joint}", 0.0)
    mujoco.mj_kinematics(model, data)
    fields = {key: np.asarray(getattr(data, key))[None] for key in ("qpos", "qvel", "geom_xpos", "geom_xmat")}
    judge = behaviours.backflip_reward if name == "hopper-backflip" else behaviours.one_leg_reward
    return float(judge(fields, np.array([velocity]))[0])


@pytest.mark.parametrize("name", GEOMS)
def test_the_shapes_are_those_of_the_model(name: str) -> None:
    model = load_model(name)
    names, radii_m, half_lengths_m = GEOMS[name]
    assert tuple(model.geom(geom).name for geom in range(model.ngeom)) == names
    np.testing.assert_allclose(model.geom_size[1:, :2], np.stack((radii_m, half_lengths_m), axis=1), atol=1e-12)


@pytest.mark.parametrize("name", GEOMS)
def test_clearance_is_the_distance_of_mujocos_own_contacts(name: str) -> None:
    model, task = load_model(name), make_task(name)
    data = mujoco.MjData(model)
    world = make_environments(task, 4, seed=0, stagger=False)
    random, contacts = np.random.default_rng(0), 0
    for _ in range(80):
        world.step(random.normal(size=(4, task.action.size)))
        for state in world.states():
            data.qpos[:] = state[: model.nq]
            mujoco.mj_forward(model, data)
            fields = {"geom_xpos": data.geom_xpos[None], "geom_xmat": data.geom_xmat[None]}
            low = behaviours.clearances(fields, *GEOMS[name][1:])[0]
            nearest = np.full(model.ngeom, np.inf)
            for contact in data.contact:
                if contact.geom1 == 0:  # with the floor: the hopper's parts touch one another, too
                    nearest[contact.geom2] = min(nearest[contact.geom2], contact.dist)
            touching = np.isfinite(nearest[1:])
            np.testing.assert_allclose(low[touching], nearest[1:][touching], atol=1e-9)
            assert (low[~touching] > 0).all()
            contacts += touching.sum()
    assert contacts > 100
    world.close()


def test_a_world_pays_by_the_scripted_judge_and_shows_the_angle_as_sine_and_cosine() -> None:
    simulator = MujocoSimulator("hopper-backflip", 3, seed=0)
    simulator.reset(np.arange(3))
    states = simulator.states()
    states[:, 2] = [0.3, -7.0, -30.0]
    simulator.set_states(np.arange(3), states)
    seen = simulator.observe()
    np.testing.assert_allclose(seen[:, 1:3], np.stack((np.sin(states[:, 2]), np.cos(states[:, 2])), axis=1))
    rewards = simulator.step(np.zeros((3, 3)))
    low = behaviours.clearances(simulator._fields, behaviours.HOPPER_RADII_M, behaviours.HOPPER_HALF_LENGTHS_M)
    assert low.shape == (3, 4)
    np.testing.assert_array_equal(rewards, behaviours.backflip_reward(simulator._fields, np.zeros(3)))


def test_gymnasiums_environment_shows_a_policy_what_training_did() -> None:
    task = make_task("hopper-backflip")
    env = make_gymnasium(task)
    seen, _ = env.reset(seed=0)
    inner = env.unwrapped
    assert task.observation_shape == seen.shape == env.observation_space.shape == (12,)
    height, angle, *rest = inner._get_obs()
    np.testing.assert_array_equal(seen, [height, np.sin(angle), np.cos(angle), *rest])
    env.close()


def test_a_flip_is_worth_more_than_standing_and_standing_more_than_lying() -> None:
    name = "hopper-backflip"
    flip = reward_of(name, z=2.0, turning=-8.0)
    stand = reward_of(name, z=1.21)
    lie = reward_of(name, z=0.05, angle=np.pi / 2, j5=0.7)
    assert flip > 8.0
    assert -1.0 < stand < -0.6, "it must not pay to stand for ever"
    assert lie < stand - 5.0
    assert reward_of(name, z=2.0, turning=8.0) < -6.0, "forward is the wrong way round"
    assert reward_of(name, z=0.05, angle=np.pi / 2, j5=0.7, turning=-8.0) < stand - 2.0, "a roll over the floor"
    slow, fast = (reward_of(name, z=2.0, turning=turning) - 1.5 for turning in (-4.0, 16.0))
    assert 4 * slow + fast == pytest.approx(0.0), "slowly back and quickly forward, in flight, gains nothing"
    assert reward_of(name, z=1.05, angle=-0.5) < stand - 0.5, "leaning on the foot"


def test_a_clip_of_a_flip_that_lands_is_preferred_to_one_of_standing_hopping_or_rolling() -> None:
    """What a labeler compares is the sum over a clip of 60 steps of 8 ms: here one turn in each clip that turns."""
    name, turning = "hopper-backflip", -2 * np.pi / (40 * 0.008)
    angle, height = -2 * np.pi * np.arange(40) / 40, 1.25 + np.sin(np.pi * np.arange(40) / 40)
    standing = [reward_of(name, z=1.21)] * 20  # a third of a clip
    flip = [reward_of(name, z=z, angle=a, turning=turning) for z, a in zip(height, angle, strict=True)]
    hop = [reward_of(name, z=z) for z in height]
    roll = [reward_of(name, z=0.05, angle=a, turning=turning) for a in angle]
    lying = [reward_of(name, z=0.05, angle=np.pi / 2)] * 20
    assert sum(flip + standing) > sum(hop + standing) + 200.0
    assert sum(hop + standing) > 3 * sum(standing)
    assert sum(roll + lying) < 3 * sum(standing)


def test_running_on_the_hind_leg_is_worth_more_than_on_both_and_more_than_on_the_back() -> None:
    name = "half-cheetah-one-leg"
    hind = reward_of(name, velocity=3.0, z=0.2, angle=-0.6)
    both = reward_of(name, velocity=3.0, z=-0.1)
    back = reward_of(name, velocity=3.0, z=-0.6, angle=np.pi)
    leaping = reward_of(name, velocity=3.0, z=0.5, angle=0.3)  # to land on the front leg
    assert hind > leaping + 4.0, "both legs are off the floor, and that is no proof"
    assert 1.9 < hind <= 2.0
    assert hind > both + 4.0
    assert hind > back + 2.0
    assert reward_of(name, velocity=30.0, z=0.2, angle=-0.6) == hind, "speed is no reason to put the leg down"
    assert hind > reward_of(name, velocity=1.0, z=0.2, angle=-0.6) + 0.9
