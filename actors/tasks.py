"""Task: what an agent is trained on, and the presets that belong to it.

The paper's MuJoCo tasks are listed here; any other gymnasium environment becomes a Task by its id. To give an
environment presets of its own, register it:

    from actors.tasks import Preset, register
    register("lander", "LunarLanderContinuous-v3", Preset(horizon=400, clip_steps=40, end_penalty=50.0,
             instruction="Land softly between the flags."))
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import ale_py
import gymnasium
import numpy as np

from actors.atari import FRAME_SKIP, STACK, Console, rom_path
from actors.atari_games import BOXES, GAMES
from actors.mujoco import without_deprecation
from actors.sights import SIZE
from actors.small_world import ENVIRONMENT_ID as SMALL_WORLD
from actors.small_world import HORIZON as SMALL_WORLD_STEPS
from actors.small_world import INSTRUCTION as NEAR_THE_GOAL
from actors.spaces import ActionSpec, action_spec, observation_shape
from actors.views import as_seen

gymnasium.register_envs(ale_py)


class UnknownTaskError(ValueError):
    """No task and no registered environment of that name."""


@dataclass(frozen=True)
class Preset:
    """What is good for a task, whoever trains on it.

    horizon      agent steps in an episode; it always has this length
    clip_steps   agent steps in a clip
    end_penalty  true reward lost when the environment ends an episode by itself (gymnasium tasks only);
                 negative where an end is the goal
    overrides    run settings by dotted name, e.g. {"ppo.gamma": 0.99}; the command line overrides them
    by_algorithm more of them, by the name of the algorithm with which they go
    """

    horizon: int = 1000
    clip_steps: int = 25
    end_penalty: float = 10.0
    instruction: str = "Choose the clip in which the agent does better."
    overrides: Mapping[str, Any] = field(default_factory=dict)
    by_algorithm: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


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


# Found by measurement (EXPERIMENTS.md, "presets"): small updates often, a moderate first spread, a little entropy.
_MUJOCO_SETTINGS: dict[str, Any] = {
    "rollout.steps": 128,
    "learner.gamma": 0.99,
    "learner.gae_lambda": 0.95,
    "policy.initial_std": 0.6,
    "ppo.learning_rate": 5e-4,
    "ppo.minibatch": 256,
    "ppo.entropy": 0.003,
    "reward.recent_steps": 4096,
    "trpo.entropy": 0.01,
}
_SWIMMER_SETTINGS = {  # a stroke pays late: with the others' discount the agent stays where it is
    **_MUJOCO_SETTINGS,
    "learner.gamma": 0.9999,  # with 0.999 more runs end in the slower of two gaits (EXPERIMENTS.md)
    "learner.gae_lambda": 0.98,
    "policy.initial_std": 1.0,
    "ppo.entropy": 0.001,
    "trpo.entropy": 0.001,
}
_WALKER_SETTINGS = {**_MUJOCO_SETTINGS, "policy.initial_std": 0.37, "ppo.entropy": 0.0}
_PENDULUM_SETTINGS = {  # it falls once, within the first steps of 1,400: what is learned is learned from those
    **_MUJOCO_SETTINGS,
    "policy.initial_std": 0.1,
    "ppo.learning_rate": 1e-3,
    "query.candidates": 100,  # nearly all clips show it lying down: look long for one that does not
    "query.initial_fraction": 0.1,
    "oracle.tie_threshold": 0.1,  # a person sees no difference either; without ties such answers teach noise
}
_BACKFLIP_SETTINGS = {  # a flip takes some 70 steps; with a small first spread it learns not to fall before it turns
    **_MUJOCO_SETTINGS,
    "learner.gamma": 0.995,
    "learner.gae_lambda": 0.97,
    "policy.initial_std": 1.0,
}
_SMALL_WORLD_SETTINGS = {  # an agent that is at home again every 20 steps: short returns, small updates
    "rollout.num_envs": 8,
    "rollout.steps": 40,
    "learner.gamma": 0.9,
    "ppo.learning_rate": 1e-3,
    "ppo.minibatch": 80,
    "ppo.entropy": 0.01,
    "loop.warmup_steps": 1600,
    "oracle.tie_threshold": 1e-3,  # whole moves differ by more; sums of them in another order by less
}
_RIGHT = "Farther to the right is better; when both move alike, the more upright or higher one."
_FORWARD = "Farther to the right is better."
_BALANCE = "The pole should stand upright, near the middle."


def _mujoco(
    environment_id: str,
    horizon: int,
    clip_steps: int,
    instruction: str,
    settings: Mapping[str, Any] = _MUJOCO_SETTINGS,
    **kwargs: Any,
) -> tuple[str, Preset, dict[str, Any]]:
    return environment_id, Preset(horizon, clip_steps, instruction=instruction, overrides=settings), kwargs


_MUJOCO = {
    "hopper": _mujoco("Hopper-v5", 1000, 60, _RIGHT),
    "walker": _mujoco("Walker2d-v5", 1000, 45, _RIGHT, _WALKER_SETTINGS),
    "half-cheetah": _mujoco("HalfCheetah-v5", 1000, 30, _RIGHT),
    "swimmer": _mujoco("Swimmer-v5", 1000, 60, _FORWARD, _SWIMMER_SETTINGS),
    "ant": _mujoco(
        "Ant-v5",
        1000,
        30,
        "First of all it should be upright; then, the faster to the right the better.",
        include_cfrc_ext_in_observation=False,
    ),
    "reacher": _mujoco("Reacher-v5", 50, 15, "The tip of the arm should be near the target, steadily."),
    # The paper's curve reaches 1,370 where a step pays at most 1: its episodes have about 1,400 steps.
    "pendulum": _mujoco("InvertedPendulum-v5", 1400, 15, _BALANCE, _PENDULUM_SETTINGS),
    "double-pendulum": _mujoco(
        "InvertedDoublePendulum-v5", 1000, 15, "Both poles should stand upright, near the middle."
    ),
    "hopper-backflip": _mujoco(
        "Hopper-v5",
        1000,
        60,
        "It should flip backwards in the air and land upright on its foot, as often as it can; lying down is bad.",
        _BACKFLIP_SETTINGS,
    ),
    "half-cheetah-one-leg": _mujoco(
        "HalfCheetah-v5",
        1000,
        30,
        "It should run to the right on its hind leg: the front leg never touches the floor, nor does its back.",
    ),
}
_REGISTERED: dict[str, tuple[str, Preset]] = {
    "cart-pole": ("CartPole-v1", Preset(500, 25, 10.0, _BALANCE)),
    "mountain-car": (
        "MountainCarContinuous-v0",
        Preset(999, 50, -100.0, "The car should get up the hill to the right."),
    ),
    "small-world": (SMALL_WORLD, Preset(SMALL_WORLD_STEPS, 5, 0.0, NEAR_THE_GOAL, _SMALL_WORLD_SETTINGS)),
    "acrobot": ("Acrobot-v1", Preset(500, 25, -50.0, "The tip should swing up to the line.")),
}

# One torso for actor and critic that two cores can train, and a reward model of a quarter of the pixels: the paper's
# networks are `--set policy.torso=mnih-2015 --set reward.torso=paper` (EXPERIMENTS.md, "Pong").
_ATARI_SETTINGS: dict[str, Any] = {
    "rollout.steps": 128,
    "policy.torso": "mnih-2013",
    "ppo.learning_rate": 5e-4,
    "ppo.epochs": 4,
    "ppo.minibatch": 256,
    "ppo.clip": 0.1,
    "ppo.entropy": 0.01,
    "reward.torso": "small",
    "reward.dropout": 0.0,
    "reward.hidden": [64],
    "reward.batch_pairs": 8,
    "reward.gradient_steps_per_step": 5,
    "reward.max_labels": 3000,
    "reward.recent_steps": 1024,
    "query.initial_fraction": 0.1,
    "query.candidates": 4,
    "loop.warmup_steps": 8192,
    "loop.pretrain_steps": 200,
}
_ATARI_BY_ALGORITHM = {"a2c": {"rollout.steps": 5, "reward.reward_std": 0.05, "loop.service_updates": 25}}
_ATARI_HORIZON = 27_000  # an agent's life has no ends: the longest that the emulator itself allows a game, half an hour


def _atari_preset(end_penalty: float, instruction: str = Preset.instruction) -> Preset:
    return Preset(_ATARI_HORIZON, 25, end_penalty, instruction, _ATARI_SETTINGS, _ATARI_BY_ALGORITHM)


for _name, _game in GAMES.items():
    _REGISTERED[_name] = _game.environment_id, _atari_preset(_game.end_penalty, _game.instruction)


_ATARI_ENTRY = "ale_py.env:AtariEnv"


def register(name: str, environment_id: str, preset: Preset) -> None:
    """Give a gymnasium environment a name and presets of its own."""
    _REGISTERED[name] = (environment_id, preset)


def task_names() -> list[str]:
    """Names that `make_task` knows besides gymnasium's ids."""
    return [*_MUJOCO, *_REGISTERED]


def make_task(name: str) -> Task:
    """The task of that name, or any registered gymnasium environment by its id (`CartPole-v1`, `my_pkg:MyEnv-v0`).

    Raises UnknownTaskError (with the nearest names) and UnsupportedSpaceError.
    """
    if name in _MUJOCO:
        environment_id, preset, kwargs = _MUJOCO[name]
        return _inspect(name, environment_id, preset, kwargs, mujoco_model=name)
    if name in _REGISTERED:
        environment_id, preset = _REGISTERED[name]
        return _inspect(name, environment_id, preset, {})
    spec = _find_spec(name)
    for environment_id, preset in _REGISTERED.values():
        if environment_id == name:
            return _inspect(name, environment_id, preset, {})  # by the name that any other process can find, too
    if spec.entry_point == _ATARI_ENTRY:
        return _inspect(name, name, _atari_preset(10.0), {})
    horizon = spec.max_episode_steps or 1000
    preset = Preset(horizon=horizon, clip_steps=min(25, max(1, horizon // 4)))
    return _inspect(name, name, preset, {})


def _find_spec(name: str) -> Any:
    module, _, environment_id = name.rpartition(":")
    try:
        if module:
            importlib.import_module(module)
        return gymnasium.spec(environment_id)
    except (gymnasium.error.Error, ImportError) as error:
        known = [*task_names(), *gymnasium.registry]
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.4) or task_names()[:3]
        raise UnknownTaskError(
            f"no task and no gymnasium environment is called {name!r} ({error}); did you mean {', '.join(near)}? "
            "`twoclips tasks` lists them."
        ) from error


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
    console = Console(rom_path(rom))
    return Task(
        name=name,
        environment_id=environment_id,
        preset=preset,
        observation_shape=(STACK, SIZE, SIZE),
        action=ActionSpec(size=0, num_choices=console.num_actions),
        step_s=FRAME_SKIP / 60,
        has_pictures=True,
        atari_rom=rom,
    )
