"""Task: what an agent is trained on, and the presets that belong to it.

The paper's tasks and their presets are in `actors.presets`; any other gymnasium environment becomes a Task by its id.
To give an environment presets of its own, register it:

    from actors.tasks import Preset, register
    NAME = "my_tasks:LunarLanderContinuous-v3"  # module:id, by which every process of a run finds it
    register(NAME, NAME, Preset(horizon=400, clip_steps=40, end_penalty=50.0,
             instruction="Land softly between the flags."))
"""

from __future__ import annotations

import difflib
import functools
import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import ale_py
import gymnasium
import numpy as np

from actors.atari import FRAME_SKIP, STACK, Console, rom_path
from actors.atari_games import BOXES
from actors.failures import UsageError
from actors.mujoco import without_deprecation
from actors.presets import MUJOCO, NAMED, Preset, atari_preset
from actors.sights import SIZE
from actors.spaces import ActionSpec, action_spec, observation_shape
from actors.views import as_seen

gymnasium.register_envs(ale_py)


class UnknownTaskError(UsageError, ValueError):
    """No task and no registered environment of that name."""


@dataclass(frozen=True)
class Task:
    """An environment plus the presets that belong to it. Travels to every component.

    has_pictures: the environment says that it can draw itself (render_mode="rgb_array"). atari_rom: an Atari game,
    which is seen as `actors.atari` shows it and not as gymnasium does."""

    name: str
    environment_id: str
    preset: Preset
    observation_shape: tuple[int, ...]
    action: ActionSpec
    step_s: float
    mujoco_model: str | None = None
    atari_rom: str | None = None
    first_action: int = 0
    has_pictures: bool = False
    environment_kwargs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def horizon(self) -> int:
        return self.preset.horizon

    @property
    def end_penalty(self) -> float:
        return self.preset.end_penalty

    @property
    def caution(self) -> str:
        """What somebody who trains on this task should know before, in one sentence; else ""."""
        if self.atari_rom is None or self.environment_id in BOXES:
            return ""
        return (
            f"{self.name}: nobody said where its screen tells the score, so nothing is painted black, and agent and "
            "reward model may learn to read it; add the game to actors/atari_games.py"
        )

    def native_action(self, action: np.ndarray) -> Any:
        """One executed action, already in the environment's units, as its `step` wants it."""
        return int(action) + self.first_action if self.action.discrete else np.asarray(action, np.float32)


_ATARI_ENTRY = "ale_py.env:AtariEnv"
_REGISTERED = dict(NAMED)


def register(name: str, environment_id: str, preset: Preset) -> None:
    """Give a gymnasium environment a name and presets of its own."""
    _REGISTERED[name] = (environment_id, preset)


def task_names() -> list[str]:
    """Names that `make_task` knows besides gymnasium's ids."""
    return [*MUJOCO, *_REGISTERED]


def make_task(name: str) -> Task:
    """The task of that name, or any registered gymnasium environment by its id (`CartPole-v1`, `my_pkg:MyEnv-v0`).

    Raises UnknownTaskError (with the nearest names) and UnsupportedSpaceError.
    """
    if name in MUJOCO:
        environment_id, preset, kwargs = MUJOCO[name]
        return _inspect(name, environment_id, preset, kwargs, mujoco_model=name)
    if name in _REGISTERED:
        environment_id, preset = _REGISTERED[name]
        return _inspect(name, environment_id, preset, {})
    spec = _find_spec(name)
    for environment_id, preset in _REGISTERED.values():
        if environment_id == name:
            return _inspect(name, environment_id, preset, {})  # by the name that any other process can find, too
    if spec.entry_point == _ATARI_ENTRY:
        return _inspect(name, name, atari_preset(10.0), {})
    horizon = spec.max_episode_steps or 1000
    preset = Preset(horizon=horizon, clip_steps=min(25, max(1, horizon // 4)))
    return _inspect(name, name, preset, {})


def _find_spec(name: str) -> Any:
    module, _, environment_id = name.rpartition(":")
    try:
        if module:
            importlib.import_module(module)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(f"{error.name}."):
            raise _unknown(name, error) from error
        raise UnknownTaskError(
            f"the module {module} of the task {name!r} cannot be imported, {type(error).__name__}: "
            f"{' '.join(str(error).split())}; `python -c 'import {module}'` shows where"
        ) from error
    try:
        return gymnasium.spec(environment_id)
    except gymnasium.error.Error as error:
        raise _unknown(name, error) from error


def _unknown(name: str, error: Exception) -> UnknownTaskError:
    known = [*task_names(), *gymnasium.registry]
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.4) or task_names()[:3]
    return UnknownTaskError(
        f"no task and no gymnasium environment is called {name!r} ({error}); did you mean {', '.join(near)}? "
        "`twoclips tasks` lists them."
    )


def _inspect(
    name: str, environment_id: str, preset: Preset, kwargs: Mapping[str, Any], mujoco_model: str | None = None
) -> Task:
    spec = gymnasium.registry.get(environment_id)
    if spec is not None and spec.entry_point == _ATARI_ENTRY:
        return _inspect_atari(name, environment_id, preset, spec.kwargs["game"])
    try:
        with without_deprecation():
            env = as_seen(gymnasium.make(environment_id, disable_env_checker=True, **kwargs), mujoco_model)
    except Exception as error:  # whatever an environment of anybody's may raise
        raise UnknownTaskError(
            f"the environment {environment_id} cannot be made: {type(error).__name__}: {error}"
        ) from error
    try:
        fps = env.metadata.get("render_fps") or 30
        return Task(
            name=name,
            environment_id=environment_id,
            preset=preset,
            observation_shape=observation_shape(env.observation_space),
            action=action_spec(env.action_space),
            step_s=1.0 / fps,
            mujoco_model=mujoco_model,
            has_pictures="rgb_array" in env.metadata.get("render_modes", ()),
            first_action=int(getattr(env.action_space, "start", 0)),
            environment_kwargs=dict(kwargs),
        )
    finally:
        env.close()


def _inspect_atari(name: str, environment_id: str, preset: Preset, rom: str) -> Task:
    return Task(
        name=name,
        environment_id=environment_id,
        preset=preset,
        observation_shape=(STACK, SIZE, SIZE),
        action=ActionSpec(size=0, num_choices=_num_actions(rom)),
        step_s=FRAME_SKIP / 60,
        has_pictures=True,
        atari_rom=rom,
    )


@functools.cache  # an emulator takes a tenth of a second to start
def _num_actions(rom: str) -> int:
    return Console(rom_path(rom)).num_actions
