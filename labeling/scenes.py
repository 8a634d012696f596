"""What a browser needs to draw a MuJoCo task: its shapes once, their poses at every step of a clip.

    scene = Scene("hopper")
    scene.description()     # -> dict for JSON: geoms, camera, floor
    scene.poses(states)     # states [L, nq + nv] -> Poses of the G geoms, in the same order

Deliberately left out: drawing. The browser does it; a server needs no GL library.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np

from actors.mujoco import MODELS, load_model

Array = np.ndarray

CAMERAS = {  # distance in m, elevation in degrees, height in m of what it looks at
    "hopper": (3.5, -10.0, 0.9),
    "walker": (4.0, -10.0, 0.9),
    "half-cheetah": (4.0, -15.0, 0.4),
    "swimmer": (4.0, -50.0, 0.0),
    "ant": (5.0, -30.0, 0.4),
    "reacher": (0.8, -90.0, 0.0),
    "pendulum": (2.6, -5.0, 0.3),
    "double-pendulum": (4.5, -5.0, 0.7),
    "hopper-backflip": (4.5, -10.0, 1.1),
    "half-cheetah-one-leg": (4.0, -15.0, 0.4),
}
FIXED_CAMERAS = ("reacher", "pendulum", "double-pendulum")
AZIMUTH_DEG = 90.0

_SHAPES = ("plane", "sphere", "capsule", "cylinder", "ellipsoid", "box")
_LAST_VISIBLE_GROUP = 2  # MuJoCo's viewers show the groups 0 to 2
_UNSET_RGBA = (0.5, 0.5, 0.5, 1.0)  # a geom that has it takes its material's colour

_lib: Any = mujoco  # no stubs
_SHAPE_OF_TYPE = {int(getattr(_lib.mjtGeom, f"mjGEOM_{shape.upper()}")): shape for shape in _SHAPES}


@dataclass(frozen=True, eq=False)
class Poses:
    """positions [L, G, 3] f32 in m, rotations [L, G, 4] f32 as unit quaternions w, x, y, z, and focus [L, 3] f32, the
    point in m that the camera looks at."""

    positions: Array
    rotations: Array
    focus: Array

    def __post_init__(self) -> None:
        steps, geoms = self.positions.shape[:2]
        expected = {"positions": (steps, geoms, 3), "rotations": (steps, geoms, 4), "focus": (steps, 3)}
        for name, shape in expected.items():
            array: Array = getattr(self, name)
            if array.shape != shape or array.dtype != np.float32:
                raise ValueError(f"poses need {name} {list(shape)} f32, got {list(array.shape)} {array.dtype}")


class Scene:
    """One task's shapes and camera. Not to be shared between threads: `poses` works in one MjData."""

    def __init__(self, name: str) -> None:
        if name not in MODELS:
            raise ValueError(f"there is no MuJoCo task {name!r}; there are {', '.join(MODELS)}")
        self.name = name
        self._model = load_model(name)
        self._data = _lib.MjData(self._model)
        self._geoms = [geom for geom in range(self._model.ngeom) if self._is_visible(geom)]
        self._moving = [body for body in range(1, self._model.nbody) if self._model.body_rootid[body] == 1]

    def description(self) -> dict[str, Any]:
        """The shapes in the order of `Poses`, and how the camera stands, in JSON's types."""
        distance, elevation, _ = CAMERAS[self.name]
        geoms = [self._describe(geom) for geom in self._geoms]
        return {
            "geoms": geoms,
            "camera": {
                "distance": distance,
                "elevation_deg": elevation,
                "azimuth_deg": AZIMUTH_DEG,
                "follow": self.name not in FIXED_CAMERAS,
            },
            "floor": any(geom["shape"] == "plane" for geom in geoms),
        }

    def poses(self, states: Array) -> Poses:
        """Where every shape is in `states` [L, nq + nv]; velocities are not looked at."""
        model, data = self._model, self._data
        width = model.nq + model.nv
        if states.ndim != 2 or states.shape[1] != width:
            raise ValueError(f"{self.name} is drawn from states [L, {width}], got {list(states.shape)}")
        if not np.isfinite(states).all():
            raise ValueError(f"{self.name} cannot be drawn from states that are not finite")
        placed = np.empty((len(states), model.ngeom, 3))
        turned = np.empty((len(states), model.nbody, 4))
        centres = np.empty((len(states), model.nbody, 3))
        qpos, geom_xpos, xquat, xipos = data.qpos, data.geom_xpos, data.xquat, data.xipos
        for step, state in enumerate(states[:, : model.nq]):  # copies only: what can be done at once is done below
            qpos[:] = state
            _lib.mj_kinematics(model, data)
            placed[step], turned[step], centres[step] = geom_xpos, xquat, xipos
        rotations = _product(turned[:, model.geom_bodyid[self._geoms]], model.geom_quat[self._geoms])
        focus = np.zeros((len(states), 3), np.float32)
        focus[:, 2] = CAMERAS[self.name][2]
        if self.name not in FIXED_CAMERAS:
            focus[:, :2] = np.average(centres[:, self._moving], axis=1, weights=model.body_mass[self._moving])[:, :2]
        return Poses(placed[:, self._geoms].astype(np.float32), rotations.astype(np.float32), focus)

    def _is_visible(self, geom: int) -> bool:
        return self._model.geom_group[geom] <= _LAST_VISIBLE_GROUP and self._rgba(geom)[3] > 0

    def _rgba(self, geom: int) -> list[float]:
        rgba, material = self._model.geom_rgba[geom], self._model.geom_matid[geom]
        if material >= 0 and np.allclose(rgba, _UNSET_RGBA):
            rgba = self._model.mat_rgba[material]
        return [round(float(value), 4) for value in rgba]

    def _describe(self, geom: int) -> dict[str, Any]:
        kind = int(self._model.geom_type[geom])
        if kind not in _SHAPE_OF_TYPE:
            raise ValueError(f"{self.name} has a shape that cannot be drawn: MuJoCo's type {kind}")
        return {
            "shape": _SHAPE_OF_TYPE[kind],
            "size": [float(value) for value in self._model.geom_size[geom]],
            "rgba": self._rgba(geom),
        }


def _product(a: Array, b: Array) -> Array:
    """Hamilton's product of unit quaternions [..., 4] as w, x, y, z: the rotation b, then a."""
    aw, av, bw, bv = a[..., :1], a[..., 1:], b[..., :1], b[..., 1:]
    w = aw * bw - (av * bv).sum(-1, keepdims=True)
    return np.concatenate([w, aw * bv + bw * av + np.cross(av, bv)], -1)
