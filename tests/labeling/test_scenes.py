"""Scenes show what MuJoCo computes: every task's shapes, and poses equal to those of its own forward pass."""

from __future__ import annotations

import json
import subprocess
import sys

import mujoco
import numpy as np
import pytest

from actors.mujoco import MODELS, load_model
from labeling.scenes import CAMERAS, FIXED_CAMERAS, Poses, Scene


def some_states(name: str, steps: int = 5) -> np.ndarray:
    """Any positions, none of them at rest; free joints need no unit quaternion."""
    model = load_model(name)
    random = np.random.default_rng(1)
    states = random.normal(0.0, 0.3, (steps, model.nq + model.nv))
    states[:, : model.nq] += model.qpos0
    return states


def rotation(quaternion: np.ndarray) -> np.ndarray:
    w, x, y, z = quaternion.astype(float)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


@pytest.mark.parametrize("name", MODELS)
def test_poses_are_those_of_mujoco(name: str) -> None:
    states = some_states(name)
    poses = Scene(name).poses(states)
    model = load_model(name)
    data = mujoco.MjData(model)
    assert poses.positions.shape == (5, model.ngeom, 3), "no task hides a shape"
    for step, state in enumerate(states):
        data.qpos[:], data.qvel[:] = state[: model.nq], state[model.nq :]
        mujoco.mj_forward(model, data)
        np.testing.assert_allclose(poses.positions[step], data.geom_xpos, atol=1e-5)
        for geom in range(model.ngeom):
            turned = rotation(poses.rotations[step, geom])
            np.testing.assert_allclose(turned, data.geom_xmat[geom].reshape(3, 3), atol=1e-5)
            np.testing.assert_allclose(turned @ turned.T, np.eye(3), atol=1e-5)
        if name in FIXED_CAMERAS:
            np.testing.assert_allclose(poses.focus[step], [0, 0, CAMERAS[name][2]], atol=1e-6)
        else:
            np.testing.assert_allclose(poses.focus[step, :2], data.subtree_com[1, :2], atol=1e-5)
            assert poses.focus[step, 2] == np.float32(CAMERAS[name][2])


@pytest.mark.parametrize("name", MODELS)
def test_a_description_is_plain_json_in_the_order_of_the_poses(name: str) -> None:
    scene = Scene(name)
    description = json.loads(json.dumps(scene.description()))
    assert len(description["geoms"]) == scene.poses(some_states(name, 1)).positions.shape[1]
    assert {geom["shape"] for geom in description["geoms"]} <= {"plane", "sphere", "capsule", "cylinder"}
    assert all(len(geom["size"]) == 3 and len(geom["rgba"]) == 4 for geom in description["geoms"])
    assert description["floor"] == (name != "pendulum")
    assert description["camera"]["follow"] == (name not in FIXED_CAMERAS)


def test_poses_do_not_depend_on_what_was_drawn_before() -> None:
    scene, states = Scene("ant"), some_states("ant")
    first = scene.poses(states)
    again = scene.poses(states[::-1].copy())
    np.testing.assert_array_equal(first.positions, again.positions[::-1])
    np.testing.assert_array_equal(first.rotations, again.rotations[::-1])


@pytest.mark.parametrize("shape", [(4, 11), (4, 13), (12,), (2, 4, 12)])
def test_states_of_another_width_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"hopper is drawn from states \[L, 12\]"):
        Scene("hopper").poses(np.zeros(shape))


def test_states_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ValueError, match="not finite"):
        Scene("hopper").poses(np.full((2, 12), np.nan))


def test_an_unknown_task_is_refused() -> None:
    with pytest.raises(ValueError, match="no MuJoCo task 'cart-pole'"):
        Scene("cart-pole")


def test_poses_refuse_shapes_that_do_not_fit() -> None:
    positions, focus = np.zeros((3, 2, 3), np.float32), np.zeros((3, 3), np.float32)
    with pytest.raises(ValueError, match="rotations"):
        Poses(positions, np.zeros((3, 1, 4), np.float32), focus)
    with pytest.raises(ValueError, match="f32"):
        Poses(positions, np.zeros((3, 2, 4)), focus)


def test_scenes_need_no_torch() -> None:
    command = "import sys, labeling.scenes; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", command], check=False).returncode == 0
