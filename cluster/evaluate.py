"""evaluate: how good the trained policy is, by the true reward, by the environment's own and, where the task has one,
by a judge that nobody learned from; and what it looks like.

The newest checkpoint's policy acts without noise: its most likely action at every step.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from actors.environments import make_environments, make_gymnasium, named_failure
from actors.judges import JUDGES
from actors.policy import ActorCritic
from actors.simulators import EnvironmentFailure
from actors.tasks import Task
from cluster.config import ConfigError
from cluster.evaluate_games import play_games
from cluster.run_folder import RunFolder
from cluster.strip import SPAN_S, write_strip
from cluster.trained import in_environment_units, load_policy
from cluster.video import MAX_VIDEO_S, Recording, write_video
from cluster.writing import check_place

Array = np.ndarray

_AT_ONCE = 32


def evaluate(
    folder: RunFolder,
    episodes: int,
    seed: int,
    video: Path | None,
    strip: Path | None = None,
    strip_from_s: float = 0.0,
) -> dict[str, Any]:
    """What `evaluate --json` prints: `video_problem` and `strip_problem` are "" or why there is none. Raises
    ConfigError, CheckpointError, WritingError."""
    if episodes < 1:
        raise ConfigError(f"--episodes must be at least 1, got {episodes}")
    if strip is not None and video is None:
        raise ConfigError("--strip is cut from the video; leave --no-video out")
    latest_s = MAX_VIDEO_S - SPAN_S
    if strip is not None and not 0 <= strip_from_s <= latest_s:
        raise ConfigError(
            f"--strip-from must be from 0 to {latest_s:g}, got {strip_from_s:g}: a video has {MAX_VIDEO_S:g} s at most"
        )
    torch.set_num_threads(1)
    task = folder.config.make_task()
    step, policy = load_policy(folder, task)
    for path, option in ((video, "--video"), (strip, "--strip")):
        if path is not None:
            check_place(path, option)  # before all is played
    if task.atari_rom is not None:
        games = play_games(task, policy, episodes, seed)
        true_returns, standard_returns, judged = games.true_returns, games.scores, games.judged
        fixed = standard = games.recording
    else:
        true_returns, fixed, judged = true_episodes(task, policy, episodes, seed)
        standard_returns, standard = standard_episodes(task, policy, episodes, seed)
    problem = strip_problem = ""
    if video is not None:
        problem = write_video(task, fixed if fixed.states.shape[1] else standard, video)
        if strip is not None:
            strip_problem = "there is no video" if problem else write_strip(video, strip, strip_from_s)
    return {
        "task": task.name,
        "run": str(folder.path),
        "agent_steps": step,
        "episodes": episodes,
        "true_return_mean": float(true_returns.mean()),
        "true_return_std": float(true_returns.std()),
        "standard_return_mean": float(standard_returns.mean()),
        "standard_return_std": float(standard_returns.std()),
        "judged": {name: {"mean": float(values.mean()), "std": float(values.std())} for name, values in judged.items()},
        "video": str(video) if video is not None and not problem else None,
        "strip": str(strip) if strip is not None and not strip_problem else None,
        "video_problem": problem,
        "strip_problem": strip_problem,
    }


def evaluation_lines(found: dict[str, Any]) -> list[str]:
    """The same for people."""
    lines = [
        f"true return      {found['true_return_mean']:,.1f} ± {found['true_return_std']:,.1f}",
        f"standard return  {found['standard_return_mean']:,.1f} ± {found['standard_return_std']:,.1f}",
        *(f"{name:<16} {by['mean']:,.2f} ± {by['std']:,.2f}" for name, by in found["judged"].items()),
        f"                 mean ± standard deviation of {found['episodes']} episodes of {found['task']}, after "
        f"{found['agent_steps']:,} steps of training",
    ]
    if found["video"]:
        lines.append(f"video            {found['video']}")
    if found["strip"]:
        lines.append(f"strip            {found['strip']}")
    if found["video_problem"]:
        lines.append(f"no video: {found['video_problem']}")
    if found["strip_problem"]:
        lines.append(f"no strip: {found['strip_problem']}")
    return lines


def true_episodes(
    task: Task, policy: ActorCritic, episodes: int, seed: int
) -> tuple[Array, Recording, dict[str, Array]]:
    """True returns [episodes] over episodes of full length, a recording of the first, and the figures [episodes] of the
    task's judge, none where it has none."""
    returns: list[Array] = []
    judge, judged = JUDGES.get(task.name), []
    recording: Recording | None = None
    for begin in range(0, episodes, _AT_ONCE):
        world = make_environments(task, min(_AT_ONCE, episodes - begin), seed + begin, stagger=False)
        try:
            total, states, actions = np.zeros(world.num_envs), [], []
            for _ in range(task.horizon):
                states.append(world.states())
                action = policy.deterministic(world.observations)
                actions.append(in_environment_units(task, action)[0].copy())
                total += world.step(action).true_rewards
        finally:
            world.close()
        returns.append(total)
        passed = np.stack(states)
        recording = recording or Recording(seed, np.stack(actions), passed[:, 0])
        if judge is not None:
            judged.append(judge.judge(passed))
    assert recording is not None
    _refuse_nan(task, np.concatenate(returns))
    figures = {name: np.concatenate([part[name] for part in judged]) for name in (judge.figures if judge else ())}
    return np.concatenate(returns), recording, figures


def standard_episodes(task: Task, policy: ActorCritic, episodes: int, seed: int) -> tuple[Array, Recording]:
    """The environment's own returns [episodes] in gymnasium, with its own ends, and a recording of the first.

    An environment that never ends itself and has no time limit is stopped after the task's horizon."""
    env = make_gymnasium(task)
    limited = env.spec is not None and env.spec.max_episode_steps is not None
    returns = np.zeros(episodes)
    first: list[Array] = []
    try:
        for episode in range(episodes):
            with named_failure(task):
                observation, _ = env.reset(seed=seed + episode)
            over, steps = False, 0
            while not over:
                action = in_environment_units(task, policy.deterministic(np.asarray(observation)[None]))[0]
                if episode == 0:
                    first.append(action)
                with named_failure(task):
                    observation, reward, terminated, truncated, _ = env.step(task.native_action(action))
                returns[episode] += float(reward)
                steps += 1
                over = terminated or truncated or (not limited and steps >= task.horizon)
    finally:
        env.close()
    _refuse_nan(task, returns)
    return returns, Recording(seed, np.stack(first), np.empty((len(first), 0), np.float32))


def _refuse_nan(task: Task, returns: Array) -> None:
    if not np.isfinite(returns).all():
        raise EnvironmentFailure(
            f"{task.environment_id} paid a reward that is not a finite number; mend the environment"
        )
