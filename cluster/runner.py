"""Runs one training from its folder: starts what it stands on, cleans up behind it, and turns what breaks into a sentence."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch

from cluster.components import RunSpec
from cluster.config import RunConfig
from cluster.in_process import LocalPool, LocalServices
from cluster.redis_server import PrivateRedis
from cluster.run_folder import RunFolder
from cluster.status import StatusFile
from cluster.training import RolloutPool, Services, Training
from learners.checkpoint import load_checkpoint
from reward_service.database import check_writable, connect

Show = Callable[[dict[str, Any]], None]


class Interrupted(RuntimeError):
    """The run was stopped by Ctrl-C, after a checkpoint."""


def run_training(folder: RunFolder, resume: bool, show: Show, say: Callable[[str], None]) -> dict[str, Any]:
    """Train to the end and return the summary that `train --json` prints. Raises Interrupted after Ctrl-C."""
    torch.set_num_threads(1)
    config = folder.config
    with ExitStack() as stack:
        spec = RunSpec(config, config.make_task(), _redis_url(config, folder, stack, say), folder.run_id)
        status = StatusFile(folder)
        pool, services = _components(spec, stack)
        training = Training(spec, folder, pool, services, status.watch(show))
        if resume:
            step, state = load_checkpoint(folder.checkpoints)
            training.resume(state)
            say(f"resuming at {step:,} agent steps")
        folder.log_event(f"{'resumed' if resume else 'started'}: {config.task}, {config.algorithm}, seed {config.seed}")
        try:
            training.run()
        except KeyboardInterrupt:
            _stop_cleanly(training, folder, say)
        finally:
            status.close()
    folder.log_event("finished")
    return summary(config, training.last, folder.path)


def summary(config: RunConfig, last: dict[str, Any], path: Path) -> dict[str, Any]:
    """What a finished run says of itself; a figure that it does not have is None."""

    def figure(name: str) -> Any:
        value = last.get(name)
        return None if isinstance(value, float) and not math.isfinite(value) else value

    labels = last.get("labels", 0.0)
    return {
        "task": config.task,
        "algorithm": config.algorithm,
        "seed": config.seed,
        "labeler": config.labeler,
        "steps": last.get("agent_steps", 0),
        "labels": int(labels) if labels == labels else 0,
        "true_return": figure("true_return"),
        "predicted_return": figure("predicted_return"),
        "steps_per_second": figure("steps_per_second"),
        "wall_s": figure("wall_s"),
        "policy_lag_max": figure("policy_lag_max"),
        "reward_version": last.get("reward_version", 0),
        "run": str(path),
    }


def _redis_url(config: RunConfig, folder: RunFolder, stack: ExitStack, say: Callable[[str], None]) -> str:
    """The given server, checked, or a private one that ends with the run; "" for a baseline, which needs none."""
    if not config.uses_labels:
        return ""
    url = config.redis or stack.enter_context(PrivateRedis(folder.path))
    client = connect(url)
    stack.callback(client.close)
    for warning in check_writable(client):
        say(f"warning: {warning}")
    return url


def _components(spec: RunSpec, stack: ExitStack) -> tuple[RolloutPool, Services | None]:
    if spec.config.in_process:
        return LocalPool(spec), LocalServices(spec) if spec.config.uses_labels else None
    import ray  # here, not above: a run in one process never waits for it

    from cluster.launch import connect_ray, topology

    stack.callback(ray.shutdown)
    connect_ray(spec.config.address)
    return topology(spec)


def _stop_cleanly(training: Training, folder: RunFolder, say: Callable[[str], None]) -> None:
    say("stopping: writing a checkpoint")
    begin = time.monotonic()
    if training.agent_steps:
        training.checkpoint()
    folder.log_event(f"interrupted at {training.agent_steps} agent steps")
    say(f"checkpoint written in {time.monotonic() - begin:.1f} s")
    raise Interrupted(
        f"stopped at {training.agent_steps:,} agent steps; go on with `twoclips train {folder.config.task} "
        f"--run {folder.path} --resume`"
    )
