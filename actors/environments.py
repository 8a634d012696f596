"""Environments as the agent meets them: many at once, of fixed length, without ends and without reward.

`FixedHorizon` gives a `Simulator` its clock. An episode lasts `horizon` steps and is then truncated; nothing ever
terminates in the agent's eyes. First episodes are cut short, each environment by another amount, so that the
environments of one worker are never all in the same phase of an episode.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import gymnasium
import numpy as np

from actors.atari import AtariSimulator, rom_path
from actors.atari_games import BOXES, GAMES
from actors.frames import kept_dtype
from actors.mujoco import MujocoSimulator, without_deprecation
from actors.simulators import Emulator, EnvironmentFailure, Simulator
from actors.split import SplitEmulator, SplitSimulator
from actors.tasks import Task
from actors.views import as_seen

Array = np.ndarray

_SEEDS = 1 << 31  # more than this some environments do not take


@dataclass(frozen=True, eq=False)
class Moment:
    """What one step of B environments brought.

    observations        [B, *O] float32, or pictures [B, H, W] uint8 (`frames.py`), already those of the next episode
                        where one was truncated
    true_rewards        [B] float32
    ended               [K] int64, environments whose episode was truncated by this step
    final_observations  [K, ...], their last observations
    """

    observations: Array
    true_rewards: Array
    ended: Array
    final_observations: Array


class FixedHorizon:
    """A Simulator with a clock. `observations` is what the agent sees now, see `Moment`."""

    def __init__(self, task: Task, simulator: Simulator, stagger: bool = True) -> None:
        self.task = task
        self.num_envs = simulator.num_envs
        self._simulator = simulator
        self._dtype = kept_dtype(task.observation_shape)
        self._age_steps = np.zeros(self.num_envs, np.int64)
        if stagger:
            self._age_steps[:] = np.arange(self.num_envs) * task.horizon // self.num_envs
        self._simulator.reset(np.arange(self.num_envs))
        self.observations = self._simulator.observe().astype(self._dtype)

    def states(self) -> Array:
        """Simulator states [B, S] of the present moment, float32."""
        return self._simulator.states().astype(np.float32)

    def starts(self) -> Array | None:
        """[B, 2] int64, what each environment was last started with, by itself too, and steps since; None where
        `states` are enough to draw it."""
        return self._simulator.starts()

    @property
    def emulator(self) -> Emulator | None:
        """The simulator, where it can keep a moment and go on from there."""
        return self._simulator if isinstance(self._simulator, Emulator) else None

    def step(self, actions: Array) -> Moment:
        """Execute sampled actions [B, *A] in policy units."""
        spec = self.task.action
        rewards = self._simulator.step(spec.to_environment(spec.executed(actions)))
        observations = self._simulator.observe().astype(self._dtype)
        self._age_steps += 1
        ended = np.flatnonzero(self._age_steps >= self.task.horizon)
        final_observations = observations[ended]
        if len(ended):
            self._simulator.reset(ended)
            self._age_steps[ended] = 0
            observations = self._simulator.observe().astype(self._dtype)
        self.observations = observations
        return Moment(observations, rewards.astype(np.float32), ended, final_observations)

    def close(self) -> None:
        self._simulator.close()


class GymnasiumSimulator:
    """Any registered environment, one Python object per world.

    Its own ends are hidden: when an environment terminates or truncates itself, it is started again at once, the
    agent sees only that the observation has jumped, and a termination costs `end_penalty` in true reward.

    Every start has a seed, drawn from a generator of each world: so any moment can be played again (`replay.py`). Why
    not let the environment go on with its own generator: that would have to be played again from the run's beginning.
    """

    def __init__(self, task: Task, num_envs: int, seed: int, first: int = 0) -> None:
        """`first`: the number of the first of these worlds among all of the seed."""
        self.num_envs = num_envs
        self._task = task
        # Without gymnasium's own time limit: it would end an episode in the very step in which FixedHorizon does, and
        # the last observation would already be the next episode's.
        self._envs = [make_gymnasium(task, max_episode_steps=-1) for _ in range(num_envs)]
        seeds = [(seed * 10_007 + first + index) % _SEEDS for index in range(num_envs)]
        self._random = [np.random.default_rng(each) for each in seeds]
        self._next_seeds = seeds
        self._starts = np.zeros((num_envs, 2), np.int64)
        self._observations: list[Array] = [np.zeros(task.observation_shape, np.float32)] * num_envs

    def reset(self, ids: Array) -> None:
        for index in ids:
            with named_failure(self._task):
                self._observations[index] = self._start(int(index))

    def _start(self, index: int) -> Array:
        seed = self._next_seeds[index]
        self._next_seeds[index] = int(self._random[index].integers(_SEEDS))
        self._starts[index] = seed, 0
        return self._of_shape(self._envs[index].reset(seed=seed)[0])

    def _of_shape(self, observation: Array) -> Array:
        shape, expected = np.shape(observation), self._task.observation_shape
        if shape != expected:
            raise EnvironmentFailure(
                f"the environment {self._task.environment_id} gave an observation of shape {shape}, and its space says "
                f"{expected}. Fix the environment, or reshape it in a wrapper."
            )
        return observation

    def observe(self) -> Array:
        return np.stack(self._observations)

    def states(self) -> Array:
        return np.empty((self.num_envs, 0), np.float32)

    def starts(self) -> Array:
        return self._starts.copy()

    def step(self, actions: Array) -> Array:
        rewards = np.empty(self.num_envs)
        for index, env in enumerate(self._envs):
            with named_failure(self._task):
                observation, reward, terminated, truncated, _ = env.step(self._task.native_action(actions[index]))
                rewards[index] = float(reward) - (self._task.end_penalty if terminated else 0.0)
                self._starts[index, 1] += 1
                ended = terminated or truncated
                self._observations[index] = self._start(index) if ended else self._of_shape(observation)
        return rewards

    def close(self) -> None:
        for env in self._envs:
            env.close()


class named_failure:  # noqa: N801 - reads as a statement
    """Turn whatever an environment raises into one sentence that names the task."""

    def __init__(self, task: Task) -> None:
        self._task = task

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, Exception) and not isinstance(error, EnvironmentFailure):
            raise EnvironmentFailure(
                f"the environment {self._task.environment_id} raised {type(error).__name__}: {error}. "
                "Step it by hand with the same seed to find out why."
            ) from error


def make_gymnasium(task: Task, **kwargs: Any) -> gymnasium.Env[Any, Any]:
    """gymnasium's own environment for a task, for evaluation and for drawing."""
    with without_deprecation():
        env = gymnasium.make(task.environment_id, disable_env_checker=True, **{**task.environment_kwargs, **kwargs})
    return as_seen(env, task.mujoco_model)


def make_environments(task: Task, num_envs: int, seed: int, stagger: bool = True, cores: int = 1) -> FixedHorizon:
    """The environments of one rollout worker, stepped on so many cores: the same on any number of them."""
    simulator: Simulator
    if task.mujoco_model is not None:
        simulator = MujocoSimulator(task.mujoco_model, num_envs, seed, cores)
    elif cores == 1:
        simulator = simulator_of(task, seed, 0, num_envs)
    else:
        kind = SplitSimulator if task.atari_rom is None else SplitEmulator
        simulator = kind(partial(simulator_of, task, seed), task, num_envs, cores)
    return FixedHorizon(task, simulator, stagger)


def simulator_of(task: Task, seed: int, first: int, num_envs: int) -> Simulator:
    """Of the worlds of a seed those from number `first` on, on one thread, where they are not MuJoCo's."""
    if task.atari_rom is None:
        return GymnasiumSimulator(task, num_envs, seed, first)
    boxes = BOXES.get(task.environment_id, ())
    judge = GAMES[task.name].scripted_judge if task.name in GAMES else None
    return AtariSimulator(
        rom_path(task.atari_rom), boxes, task.end_penalty, num_envs, seed, scripted_judge=judge, first=first
    )
