"""The paper's eight MuJoCo tasks and two novel behaviours, stepped natively in batches (`mujoco.batch.Batch`).

Physics, observations and resets are those of gymnasium's own environments (`tests/actors/test_mujoco.py` holds
them side by side, bit for bit); rewards are the paper's: no termination, no torque cost, and what used to end an
episode is a penalty (Christiano et al. 2017, appendix A; per-step terms from the co-author's rl-teacher).

Deliberately left out: rendering. Rollouts never draw; `states` are enough to draw a step later.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import mujoco
import numpy as np
from mujoco.batch import Batch

from actors.behaviours import backflip_reward, observe_backflip, one_leg_reward

Array = np.ndarray


@dataclass(frozen=True)
class MujocoModel:
    """One task's physics: which model, how it starts, what is seen and what is truly wanted.

    reset_scale    of the noise on the first state; positions are uniform, velocities as `reset_velocity` says
    reset_velocity "normal" or "uniform"
    observe        MjData fields by name -> observations [B, O]
    true_reward    (fields, forward velocity [B] in m/s) -> [B]
    forward        fields -> the coordinate [B] in m whose change is the forward movement
    outputs        derived fields that the three read; they lag one substep, as in gymnasium
    own_view       `observe` is not gymnasium's; see views.py
    reset          replaces the noise: adds to qpos [K, nq] and qvel [K, nv] in place
    """

    xml: str
    frame_skip: int
    reset_scale: float
    reset_velocity: str
    observe: Callable[[dict[str, Array]], Array]
    true_reward: Callable[[dict[str, Array], Array], Array]
    forward: Callable[[dict[str, Array]], Array] = lambda f: f["qpos"][:, 0]
    outputs: tuple[str, ...] = ()
    own_view: bool = False
    reset: Callable[[np.random.Generator, Array, Array], None] | None = None


def _after(skip: int, clip: float | None) -> Callable[[dict[str, Array]], Array]:
    """Positions from column `skip` on, then velocities, clipped where gymnasium clips."""

    def observe(fields: dict[str, Array]) -> Array:
        velocity = fields["qvel"] if clip is None else np.clip(fields["qvel"], -clip, clip)
        return np.concatenate((fields["qpos"][:, skip:], velocity), axis=1)

    return observe


def _observe_reacher(fields: dict[str, Array]) -> Array:
    qpos, qvel, body = fields["qpos"], fields["qvel"], fields["xpos"]
    angle = qpos[:, :2]
    to_target = (body[:, _REACHER_TIP] - body[:, _REACHER_TARGET])[:, :2]
    return np.concatenate((np.cos(angle), np.sin(angle), qpos[:, 2:], qvel[:, :2], to_target), axis=1)


def _reward_reacher(fields: dict[str, Array], _: Array) -> Array:
    body = fields["xpos"]
    return -np.linalg.norm(body[:, _REACHER_TIP] - body[:, _REACHER_TARGET], axis=1)


def _reset_reacher(random: np.random.Generator, qpos: Array, qvel: Array) -> None:
    """gymnasium's: joints within 0.1, the target anywhere within 0.2 of the middle, itself at rest."""
    qpos += random.uniform(-0.1, 0.1, qpos.shape)
    for row in range(len(qpos)):
        goal = random.uniform(-0.2, 0.2, 2)
        while np.linalg.norm(goal) >= 0.2:
            goal = random.uniform(-0.2, 0.2, 2)
        qpos[row, -2:] = goal
    qvel += random.uniform(-0.005, 0.005, qvel.shape)
    qvel[:, -2:] = 0.0


_REACHER_TIP, _REACHER_TARGET = 3, 4  # body ids of "fingertip" and "target"; checked by the parity test


def _observe_double_pendulum(fields: dict[str, Array]) -> Array:
    qpos = fields["qpos"]
    return np.concatenate(
        (
            qpos[:, :1],
            np.sin(qpos[:, 1:]),
            np.cos(qpos[:, 1:]),
            np.clip(fields["qvel"], -10, 10),
            np.clip(fields["qfrc_constraint"], -10, 10)[:, :1],
        ),
        axis=1,
    )


def _reward_double_pendulum(fields: dict[str, Array], _: Array) -> Array:
    """Standard reward (alive bonus 10 at every step) + 10 (tip height - 1)."""
    x, height = fields["site_xpos"][:, 0, 0], fields["site_xpos"][:, 0, 2]
    distance = 0.01 * x**2 + (height - 2) ** 2
    velocity = 1e-3 * fields["qvel"][:, 1] ** 2 + 5e-3 * fields["qvel"][:, 2] ** 2
    return 10.0 - distance - velocity + 10.0 * (height - 1.0)


def _torso_x(fields: dict[str, Array]) -> Array:
    return fields["xpos"][:, 1, 0]


_POSES = ("geom_xpos", "geom_xmat")

MODELS: dict[str, MujocoModel] = {
    "hopper": MujocoModel(
        "hopper.xml", 4, 5e-3, "uniform", _after(1, 10.0), lambda f, v: v + 1.0 + (f["qpos"][:, 1] - 1.0)
    ),
    "walker": MujocoModel(
        "walker2d_v5.xml", 4, 5e-3, "uniform", _after(1, 10.0), lambda f, v: v + 1.0 + (f["qpos"][:, 1] - 2.0)
    ),
    "half-cheetah": MujocoModel("half_cheetah.xml", 5, 0.1, "normal", _after(1, None), lambda _, v: v),
    "swimmer": MujocoModel("swimmer.xml", 4, 0.1, "uniform", _after(2, None), lambda _, v: v),
    "ant": MujocoModel(
        "ant.xml", 5, 0.1, "normal", _after(2, None), lambda f, v: v + (f["qpos"][:, 2] - 1.2), _torso_x, ("xpos",)
    ),
    "reacher": MujocoModel(
        "reacher.xml", 2, 0.0, "", _observe_reacher, _reward_reacher, outputs=("xpos",), reset=_reset_reacher
    ),
    "pendulum": MujocoModel(
        "inverted_pendulum.xml", 2, 0.01, "uniform", _after(0, None), lambda f, _: 1.0 - f["qpos"][:, 1] ** 2
    ),
    "double-pendulum": MujocoModel(
        "inverted_double_pendulum.xml",
        5,
        0.1,
        "normal",
        _observe_double_pendulum,
        _reward_double_pendulum,
        outputs=("site_xpos", "qfrc_constraint"),
    ),
    "hopper-backflip": MujocoModel(
        "hopper.xml", 4, 5e-3, "uniform", observe_backflip, backflip_reward, outputs=_POSES, own_view=True
    ),
    "half-cheetah-one-leg": MujocoModel(
        "half_cheetah.xml", 5, 0.1, "normal", _after(1, None), one_leg_reward, outputs=_POSES
    ),
}


@contextmanager
def without_deprecation() -> Generator[None]:
    """While gymnasium's models are compiled: MuJoCo is silent on an attribute that half_cheetah.xml has and we cannot
    change. It would be printed at every load, and leave a MUJOCO_LOG.TXT behind. Other warnings are printed."""
    before = mujoco.get_mju_user_warning()  # pyright: ignore[reportAttributeAccessIssue] - no stubs

    def warn(message: str) -> None:
        if "'settotalmass' is deprecated" not in message:
            (before or _print_warning)(message)

    mujoco.set_mju_user_warning(warn)  # pyright: ignore[reportAttributeAccessIssue] - no stubs
    try:
        yield
    finally:
        mujoco.set_mju_user_warning(before)  # pyright: ignore[reportAttributeAccessIssue] - no stubs


def _print_warning(message: str) -> None:
    print(f"WARNING: {message}", file=sys.stderr)


def load_model(name: str) -> Any:
    """Compile the model that gymnasium ships for this task: a mujoco.MjModel."""
    path = Path(gymnasium.__file__).parent / "envs" / "mujoco" / "assets" / MODELS[name].xml
    with without_deprecation():
        return mujoco.MjModel.from_xml_path(str(path))  # pyright: ignore[reportAttributeAccessIssue] - no stubs


class MujocoSimulator:
    """B simulations of one model on as many threads as there are to be cores: none of a result depends on how many. A
    `Simulator` of `actors.simulators`."""

    def __init__(self, name: str, num_envs: int, seed: int, cores: int = 1) -> None:
        self.num_envs = num_envs
        self._spec = MODELS[name]
        self._model = load_model(name)
        self._batch = Batch(self._model, num_envs, cores)
        self._random = np.random.default_rng(seed)
        self._fields = {field: self._batch.bind(field) for field in ("qpos", "qvel", "ctrl", *self._spec.outputs)}
        self._dt_s = self._model.opt.timestep * self._spec.frame_skip
        self._start_qpos, self._start_qvel = self._model.qpos0.copy(), np.zeros(self._model.nv)

    def reset(self, ids: Array) -> None:
        """Start the simulations `ids` [K] anew, with gymnasium's reset noise."""
        count, spec = len(ids), self._spec
        qpos, qvel = np.tile(self._start_qpos, (count, 1)), np.tile(self._start_qvel, (count, 1))
        if spec.reset is not None:
            spec.reset(self._random, qpos, qvel)
        else:
            qpos += self._random.uniform(-spec.reset_scale, spec.reset_scale, qpos.shape)
            if spec.reset_velocity == "normal":
                qvel += spec.reset_scale * self._random.standard_normal(qvel.shape)
            else:
                qvel += self._random.uniform(-spec.reset_scale, spec.reset_scale, qvel.shape)
        self.set_states(ids, np.concatenate((qpos, qvel), axis=1))

    def set_states(self, ids: Array, states: Array) -> None:
        """Put the simulations `ids` [K] into `states` [K, nq + nv], at rest otherwise."""
        stage = mujoco.mjtStage.mjSTAGE_NONE  # pyright: ignore[reportAttributeAccessIssue] - no stubs
        self._batch.reset(ids, stage=stage)
        self._fields["qpos"][ids] = states[:, : self._model.nq]
        self._fields["qvel"][ids] = states[:, self._model.nq :]
        self._batch.forward(ids)

    def observe(self) -> Array:
        """Observations [B, O] of the present states."""
        return self._spec.observe(self._fields)

    def states(self) -> Array:
        """Simulator states [B, nq + nv]: enough to draw this moment again."""
        return np.concatenate((self._fields["qpos"], self._fields["qvel"]), axis=1)

    def starts(self) -> None:
        """Nothing needs to be played again: `states` are enough."""

    def step(self, actions: Array) -> Array:
        """Apply `actions` [B, A] in the model's units for one agent step; true rewards [B]."""
        before = self._spec.forward(self._fields).copy()
        self._fields["ctrl"][:] = actions
        self._batch.step(nstep=self._spec.frame_skip)
        velocity = (self._spec.forward(self._fields) - before) / self._dt_s
        return self._spec.true_reward(self._fields, velocity)

    def close(self) -> None:
        """Nothing to release: the batch frees its memory itself."""
