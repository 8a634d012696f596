"""A run small enough for a test: seconds on one slow core, yet every loop turns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from actors.tasks import make_task
from cluster.config import RunConfig
from cluster.configure import make_config
from cluster.run_folder import RunFolder
from cluster.runner import run_training

SMALL: dict[str, Any] = {
    "steps": 2048,
    "labels": 24,
    "rollout.num_envs": 4,
    "rollout.steps": 64,
    "ppo.minibatch": 64,
    "ppo.epochs": 2,
    "loop.warmup_steps": 512,
    "loop.pretrain_steps": 20,
    "loop.checkpoint_steps": 1024,
    "reward.batch_pairs": 8,
    "reward.hidden": [16],
    "reward.publish_every_steps": 10,
    "query.initial_fraction": 0.25,
    "oracle.tie_threshold": 0.0,
    "loop.device": "cpu",  # where the same is done twice to the last bit
}


def config_of(task: str = "hopper", **settings: Any) -> RunConfig:
    """The config of a run; settings by dotted name, with __ for the dot."""
    return make_config(make_task(task), {name.replace("__", "."): value for name, value in settings.items()})


def small_config(task: str = "pendulum", **settings: Any) -> RunConfig:
    """A small in-process run; settings as for `config_of`."""
    small = {name.replace(".", "__"): value for name, value in SMALL.items()}
    return config_of(task, **{"in_process": True, **small, **settings})


def train(path: Path, config: RunConfig | None = None) -> dict[str, Any]:
    """Run it in a new folder, or resume the run that is there when `config` is None."""
    folder = RunFolder.open(path) if config is None else RunFolder.create(path, config)
    return run_training(folder, config is None, lambda _: None, lambda _: None)
