"""The limits that a machine sets, each as something that can be timed or has been: what acting and arithmetic could be
done at. For bench.py and bench_pictures.py."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch

from actors.atari import MAX_NOOPS, Console, rom_path
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


def bare_atari(config: RunConfig, task: Task) -> Callable[[], object]:
    """One rollout's steps by the emulators alone, with random actions: four frames each, two grey screens, and nothing
    made of them."""
    assert task.atari_rom is not None
    consoles = [Console(rom_path(task.atari_rom)) for _ in range(config.rollout.num_envs)]
    random = np.random.default_rng(0)
    actions = random.integers(consoles[0].num_actions, size=(config.rollout.steps, len(consoles))).tolist()
    for console in consoles:
        console.begin(MAX_NOOPS)

    def run() -> None:
        for row in actions:
            for console, action in zip(consoles, row, strict=True):
                _, _, over = console.step(action)
                if over:
                    console.begin(MAX_NOOPS)

    return run


def matrix_product_rate(
    device: torch.device, like_convolutions: bool = False, dtype: torch.dtype = torch.float32
) -> float:
    """Floating point operations per second of a large matrix product: what the arithmetic could be done at.

    On a GPU torch lets convolutions round what they multiply to TF32, and matrix products not: `like_convolutions` lets
    this one, too, since it would otherwise be no limit."""
    size = 1024 if device.type == "cpu" else 8192
    left, right = torch.rand(2, size, size, device=device).to(dtype)
    backend = torch.backends.cuda.matmul
    before = backend.allow_tf32
    if like_convolutions and torch.backends.cudnn.allow_tf32:
        backend.allow_tf32 = True

    def product() -> None:
        (left @ right)[0, 0].item()  # waits for the device

    try:
        product()
        return 2 * size**3 / min(seconds(product) for _ in range(10))
    finally:
        backend.allow_tf32 = before


def copy_rate(device: torch.device) -> float:
    """Bytes per second that a large copy within the device's memory reads and writes."""
    size = 1 << (27 if device.type == "cpu" else 30)
    source = torch.zeros(size, dtype=torch.uint8, device=device)
    target = torch.ones_like(source)
    return 2 * size / min(seconds(lambda: target.copy_(source)) for _ in range(10))


def seconds(work: Callable[[], object]) -> float:
    """How long `work` takes, what it left to the device included."""
    begin = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - begin


def processor_seconds(work: Callable[[], object]) -> float:
    """How long this process computes for `work`, whatever else the machine does."""
    begin = time.process_time()
    work()
    return time.process_time() - begin
