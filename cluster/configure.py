"""From settings to a RunConfig that can be run, or one sentence on why it cannot.

Precedence, lowest first: defaults, the task's preset, `--set section.key=value`, the command line's own options.
"""

from __future__ import annotations

from collections.abc import Mapping
from operator import attrgetter
from typing import Any

from actors.frames import is_stack
from actors.tasks import Task
from cluster.config import RunConfig, label_schedule
from cluster.settings import ConfigError, replaced
from labeling.oracle import OracleConfig
from labeling.people import parse_people


def make_config(task: Task, settings: Mapping[str, Any]) -> RunConfig:
    """Defaults, then the task's preset, then `settings` by dotted name. Raises ConfigError for what cannot be."""
    if "task" in settings:
        raise ConfigError(f"task is not a setting: name it by itself, as in `twoclips train {settings['task']}`")
    default = RunConfig(task=task.name)
    presets = task.preset.overrides | task.preset.by_algorithm.get(settings.get("algorithm", default.algorithm), {})
    config = replaced(default, {**presets, **settings})
    validate(config, task)
    return config


MAX_SEED = 10**9
"""Each worker's seed is made of the run's and its own number, and torch takes 64 bits."""

_KEPT = (
    *("task", "algorithm", "seed", "clip_steps", "in_process", "policy.", "query.offline"),
    *("reward.members", "reward.hidden", "reward.torso", "reward.target", "reward.max_labels", "reward.seed"),
    *("reward.regularise", "reward.dropout", "reward.input_noise", "reward.reward_std", "reward.recent_steps"),
    "reward.normalisation",
)
"""Settings that a run's checkpoints and labels were made with, or sections of them."""


def change_config(config: RunConfig, settings: Mapping[str, Any]) -> RunConfig:
    """The config of a run that is to go on, with other settings by dotted name. Raises ConfigError, also for one that
    was changed by hand to what cannot be."""
    changed = replaced(config, settings)
    for name in settings:
        differs = attrgetter(name)(changed) != attrgetter(name)(config)
        lacks_labels = name == "labeler" and config.uses_labels != changed.uses_labels
        if differs and (name.startswith(_KEPT) or lacks_labels):
            raise ConfigError(
                f"{name} cannot be changed within a run: what it has learned and saved depends on it; leave it out, "
                "or start a new run"
            )
    validate(changed, changed.make_task())
    return changed


def validate(config: RunConfig, task: Task) -> None:
    """Refuse impossible numbers with one sentence each. Raises ConfigError, and UnknownPersonError."""
    people = parse_people(config.oracle.people) if config.oracle.people else []
    clip_steps, horizon = config.clip_steps or task.preset.clip_steps, task.horizon
    steps = config.rollout.steps * config.rollout.num_envs
    first_labels = label_schedule(config).initial_labels if config.steps >= 1 and config.labels >= 0 else 0
    rules = [
        (config.steps >= 1, f"--steps must be at least 1, got {config.steps}"),
        (config.workers >= 0, f"--workers must be auto, or at least 1, got {config.workers}"),
        (
            not config.uses_labels or config.labels >= 4,
            f"--labels must be at least 4, got {config.labels}: fewer cannot be split into training and validation; "
            "use --labeler none to train on the true reward",
        ),
        (
            clip_steps <= horizon,
            f"a clip of {clip_steps} steps is longer than an episode of {task.name} ({horizon}); lower --clip-steps",
        ),
        (config.clip_steps >= 0, f"--clip-steps must be at least 1, got {config.clip_steps}"),
        (
            1 <= config.rollout.cores <= config.rollout.num_envs,
            f"rollout.cores={config.rollout.cores} is not possible for {config.rollout.num_envs} environments: it must "
            "be at least 1, and at most rollout.num_envs",
        ),
        (
            config.in_process or config.rollout.cores == 1,
            f"rollout.cores={config.rollout.cores} is for --in-process: with Ray each rollout worker has one core; use "
            "--workers for more of them",
        ),
        (
            config.in_process or config.rollout.device == "cpu",
            f"rollout.device={config.rollout.device} is for --in-process: with Ray weights travel to rollout workers "
            "that act on their own cores; leave it out",
        ),
        (0 <= config.seed <= MAX_SEED, f"--seed must be from 0 to {MAX_SEED:,}, got {config.seed}"),
        (
            config.learner.precision == "float32" or is_stack(task.observation_shape),
            f"learner.precision={config.learner.precision} is for convolutions, and {task.name} is not seen in "
            "pictures; leave it out",
        ),
        (
            config.algorithm != "ppo" or config.ppo.minibatch <= steps,
            f"ppo.minibatch={config.ppo.minibatch} is more than the {steps} steps of an update",
        ),
        (
            not config.address or bool(config.redis) or not config.uses_labels,
            "--address needs --redis: a run on a cluster cannot keep its labels on a socket of this machine; give the "
            "URL of a Redis server that this node reaches, and the one of loop.reward_node",
        ),
        (
            not config.address.startswith("ray://"),
            f"--address {config.address} is Ray Client, far too slow for rollouts; run the command on the head node of "
            "the cluster with --address auto, or submit it with `ray job submit`",
        ),
        (
            config.reward.max_labels is None or not config.uses_labels or config.reward.max_labels >= first_labels,
            f"reward.max_labels={config.reward.max_labels} is fewer than the {first_labels} labels that are "
            "wanted before the first update; raise it, or lower query.initial_fraction",
        ),
        (
            not people
            or config.oracle == OracleConfig(people=config.oracle.people, tie_threshold=config.oracle.tie_threshold),
            "each kind of oracle.people errs in its own way; leave the other oracle settings but tie_threshold out",
        ),
        (
            config.labeler != "synthetic" or config.labeling.overlap <= max(1, len(people)),
            f"labeling.overlap={config.labeling.overlap} needs that many labelers, who answer a query once each; name "
            "them with --set oracle.people=perfect:NUMBER",
        ),
        (
            config.algorithm != "trpo" or not is_stack(task.observation_shape),
            f"trpo has no gradient through convolutions here, and {task.name} is seen in pictures; use ppo or a2c",
        ),
    ]
    for holds, message in rules:
        if not holds:
            raise ConfigError(message)
