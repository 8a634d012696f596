"""Plays an environment again, to draw what was never drawn: rollouts do not render.

    for observation, draw in played(task, seeds, actions): ...     # before each action
    frames = clip_frames(task, clip)                                # L pictures, or ReplayError

An Atari game goes on from a state of the emulator (`Keyframe`), any other environment of gymnasium's from its start.
An environment is deterministic given its seed and its actions; one that is not shows other observations than the clip
holds, and is found out by that. `python -m actors.replay TASK` tries a task out, in a process of its own, since a
renderer may take the interpreter with it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any

import numpy as np

from actors.atari import replayed, rom_path
from actors.atari_games import BOXES
from actors.environments import make_gymnasium
from actors.origins import Keyframe, Origin
from actors.tasks import Task, make_task
from actors.trajectory import Clip

Array = np.ndarray

HEADLESS = {"SDL_VIDEODRIVER": "dummy", "SDL_AUDIODRIVER": "dummy", "PYGAME_HIDE_SUPPORT_PROMPT": "1"}
"""Environment variables under which pygame draws without screen and sound, and is silent."""

_TRIAL_STEPS = 30
_TRIAL_TIMEOUT_S = 120.0
_CANNOT = 3
"""What a trial ends with that says, in the last line of its standard error, why it cannot be. Standard output is not
ours: what an environment imports may print there."""


class ReplayError(ValueError):
    """These steps cannot be played again; others may be."""


class DrawingError(RuntimeError):
    """The environment cannot be made or cannot draw itself here: a library may be missing. No fault of the steps."""


def played(task: Task, seeds: Iterable[int], actions: Array) -> Iterator[tuple[Array, Callable[[], Array]]]:
    """What the environment shows before each of `actions` [N, *A], in its own units: the observation [*O] float32, and
    a function that draws it as [H, W, 3] uint8. It is started with the first of `seeds`, and where it ends by itself
    with the next. Raises ReplayError and DrawingError for whatever goes wrong."""
    for name, value in HEADLESS.items():
        os.environ.setdefault(name, value)
    unused = iter(seeds)
    try:
        env: Any = make_gymnasium(task, max_episode_steps=-1, render_mode="rgb_array")
    except Exception as error:  # whatever an environment of anybody's may raise
        raise DrawingError(f"{task.environment_id} cannot be made: {type(error).__name__}: {error}") from error
    try:
        observation, _ = env.reset(seed=int(next(unused)))
        for index, action in enumerate(actions):
            yield np.asarray(observation, np.float32), lambda: _picture(task, env)
            if index == len(actions) - 1:
                return  # what would follow is not asked for
            observation, _, terminated, truncated, _ = env.step(task.native_action(action))
            if terminated or truncated:
                seed = next(unused, None)
                if seed is None:
                    raise ReplayError(f"{task.environment_id} ended where it had not ended before")
                observation, _ = env.reset(seed=int(seed))
    except ReplayError:
        raise
    except Exception as error:
        raise ReplayError(f"{task.environment_id} raised {type(error).__name__}: {error}") from error
    finally:
        with suppress(Exception):
            env.close()


def clip_frames(task: Task, clip: Clip) -> list[Array]:
    """A picture [H, W, 3] uint8 of each of the clip's L steps. Raises ReplayError where it cannot be played again, and
    DrawingError where nothing can be drawn here."""
    if task.atari_rom is not None:
        return _atari_frames(task, task.atari_rom, clip)
    if not isinstance(clip.origin, Origin):
        raise ReplayError(f"clip {clip.clip_id} does not say how it is played again")
    lead = clip.origin.lead
    actions = task.action.to_environment(np.concatenate((lead, clip.segment.actions)))
    frames: list[Array] = []
    for index, (observation, draw) in enumerate(played(task, clip.origin.seeds.tolist(), actions)):
        step = index - len(lead)
        if step < 0:
            continue
        if not np.array_equal(observation, clip.segment.observations[step]):
            raise ReplayError(
                f"{task.environment_id} does not do the same again: step {step} of clip {clip.clip_id} looks otherwise"
            )
        frames.append(draw())
    return frames


def _atari_frames(task: Task, rom: str, clip: Clip) -> list[Array]:
    if not isinstance(clip.origin, Keyframe):
        raise ReplayError(f"clip {clip.clip_id} has no state of the emulator to go on from")
    boxes = BOXES.get(task.environment_id, ())
    frames: list[Array] = []
    try:
        for seen, picture in replayed(rom_path(rom), boxes, clip.origin, clip.segment.actions):
            if not np.array_equal(seen, clip.segment.stacks[len(frames), -1]):
                raise ReplayError(f"step {len(frames)} of clip {clip.clip_id} looks otherwise when it is played again")
            frames.append(picture)
    except ReplayError:
        raise
    except Exception as error:
        raise ReplayError(f"clip {clip.clip_id} cannot be played again: {type(error).__name__}: {error}") from error
    return frames


def drawing_problem(task: Task) -> str:
    """Why people cannot be shown what happens in this task, and what to do, in one sentence; "" where they can. Takes
    a second where the task has to be tried; MuJoCo's are drawn by the page."""
    if task.mujoco_model is not None or task.atari_rom is not None:
        return ""
    if not task.has_pictures:
        return (
            f'people cannot see {task.name}: the environment has no render_mode="rgb_array"; give it one, or use '
            "--labeler synthetic"
        )
    command = [sys.executable, "-m", "actors.replay", task.name]
    env = {**HEADLESS, **os.environ}
    try:
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=_TRIAL_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        reason = f"drawing took more than {_TRIAL_TIMEOUT_S:.0f} s"
    else:
        if done.returncode == 0:
            return ""
        lines = done.stderr.strip().splitlines()
        if done.returncode == _CANNOT and lines:
            reason = lines[-1]
        else:
            reason = f"its renderer ended with {done.returncode}" + (f" ({lines[-1]})" if lines else "")
    return f"people cannot see {task.name}: {reason}; mend that, or use --labeler synthetic"


def main(task_name: str) -> str:
    """Plays a few random steps twice and draws the last; why that is impossible, or ""."""
    task = make_task(task_name)
    random = np.random.default_rng(0)
    shape = (_TRIAL_STEPS, *task.action.shape)
    sampled = (
        random.integers(task.action.num_choices, size=shape) if task.action.discrete else random.normal(size=shape)
    )
    actions = task.action.to_environment(task.action.executed(sampled))
    try:
        first, again = ([*_tried(task, actions)] for _ in range(2))
    except (ReplayError, DrawingError) as error:
        return str(error)
    if not all(np.array_equal(one, other) for one, other in zip(first, again, strict=True)):
        return f"{task.environment_id} does not do the same again when it is reset with the same seed"
    return ""


def _tried(task: Task, actions: Array) -> Iterator[Array]:
    for index, (observation, draw) in enumerate(played(task, range(1, len(actions) + 1), actions)):
        if index in (0, len(actions) - 1):
            draw()
        yield observation


def _picture(task: Task, env: Any) -> Array:
    try:
        picture = np.asarray(env.render())
    except Exception as error:
        raise DrawingError(f"{task.environment_id} cannot draw itself: {type(error).__name__}: {error}") from error
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8 or 0 in picture.shape:
        drawn = f"{picture.dtype} {list(picture.shape)}"
        raise DrawingError(f"{task.environment_id} draws {drawn} where uint8 [H, W, 3] is expected")
    return picture


if __name__ == "__main__":
    if reason := main(*sys.argv[1:]):
        print(f"\n{' '.join(reason.split())}", file=sys.stderr, flush=True)
        os._exit(_CANNOT)  # and not sys.exit: what a renderer says as it is taken down would come last
