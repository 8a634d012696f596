"""The limits that a machine sets, each as something that can be timed or has been: what acting and arithmetic could be
done at. For bench.py."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch

from actors.environments import make_gymnasium
from actors.mujoco import MODELS, load_model
from actors.tasks import Task
from cluster.config import RunConfig


def bare_mujoco(config: RunConfig, task: Task) -> Callable[[], object]:
    """One rollout's steps by the simulator alone, with actions as the policy would first sample them."""
    from mujoco.batch import Batch

    assert task.mujoco_model is not None
    batch = Batch(load_model(task.mujoco_model), config.rollout.num_envs, 1)
    control = batch.bind("ctrl")
    random = np.random.default_rng(0)
    spread = config.policy.initial_std
    sampled = spread * random.standard_normal((config.rollout.steps, *control.shape)).astype(np.float32)
    actions = task.action.to_environment(task.action.executed(sampled))
    frame_skip = MODELS[task.mujoco_model].frame_skip

    def run() -> None:
        for action in actions:
            control[:] = action
            batch.step(nstep=frame_skip)

    return run


def bare_gymnasium(config: RunConfig, task: Task) -> Callable[[], object]:
    """One rollout's steps by gymnasium's own environment alone, with random actions."""
    env = make_gymnasium(task)
    env.action_space.seed(0)
    env.reset(seed=0)
    actions = [env.action_space.sample() for _ in range(config.rollout.num_envs * config.rollout.steps)]

    def run() -> None:
        for action in actions:
            _, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                env.reset()

    return run


def matrix_product_rate(device: torch.device) -> float:
    """Floating point operations per second of a large float32 matrix product: what the arithmetic could be done at."""
    size = 1024 if device.type == "cpu" else 4096
    left, right = torch.rand(size, size, device=device), torch.rand(size, size, device=device)

    def product() -> None:
        (left @ right)[0, 0].item()  # waits for the device

    product()
    return 2 * size**3 / min(seconds(product) for _ in range(10))


def seconds(work: Callable[[], object]) -> float:
    """How long `work` takes, what it left to the device included."""
    begin = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - begin
