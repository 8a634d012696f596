"""Rollout workers beyond this machine's cores: their environments sleep instead of computing, so that what is measured
is what workers cost the driver, and weights the workers, however many there are."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

import gymnasium
import numpy as np

from actors.policy import ActorCritic
from actors.tasks import Task, make_task
from actors.weights import PolicyWeights
from cluster.components import RunSpec
from cluster.configure import make_config

STEP_S = 0.004
STEPS = 128
ROUNDS = 8
_ID = "TwoclipsSleeping-v0"


class Sleeping(gymnasium.Env[Any, Any]):
    """As large as HalfCheetah to whoever looks at it; a step takes `step_s` seconds and no processor."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (17,))
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (6,))

    def __init__(self, step_s: float = STEP_S) -> None:
        self._step_s = step_s

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        return np.zeros(17, np.float32), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        time.sleep(self._step_s)
        return np.zeros(17, np.float32), 0.0, False, False, {}


gymnasium.register(_ID, f"{__name__}:Sleeping")


@dataclass(frozen=True)
class Delivered:
    """Of `workers`: transitions a second all together, and seconds from handing out weights to having all rollouts of
    one step each, which is what a call costs beside the acting: weights out, loaded, an empty rollout back."""

    workers: int
    per_second: float
    call_s: float


def measure_pool(counts: tuple[int, ...], hidden: tuple[int, ...]) -> list[Delivered]:
    """One local Ray for all. `hidden`: widths of the policy, which say how large the weights are."""
    import ray

    from cluster.launch import connect_ray

    task = make_task(f"cluster.bench_pool:{_ID}")
    connect_ray("", num_cpus=max(counts))
    try:
        return [
            Delivered(count, STEPS * count / _round_s(task, count, hidden, STEPS), _round_s(task, count, hidden, 1))
            for count in counts
        ]
    finally:
        ray.shutdown()


def weight_bytes(hidden: tuple[int, ...]) -> int:
    """What travels to each worker for each update."""
    return _weights(make_task(f"cluster.bench_pool:{_ID}"), hidden).vector.nbytes


def _round_s(task: Task, workers: int, hidden: tuple[int, ...], steps: int) -> float:
    """Seconds from submitting weights to having every worker's rollout: a median."""
    from cluster.launch import topology

    settings = {
        "workers": workers,
        "labeler": "none",
        "rollout.num_envs": 1,
        "rollout.steps": steps * workers,  # of all workers together
        "ppo.minibatch": 1,
        "policy.hidden": hidden,
    }
    config = make_config(task, settings)
    pool, _ = topology(RunSpec(config, task, redis_url="", run_id="bench"))
    weights = _weights(task, hidden)

    def work() -> None:
        pool.submit(weights)
        pool.gather()

    work()  # the processes are up
    taken_s = [_seconds(work) for _ in range(ROUNDS)]
    return median(taken_s)  # and the workers end with the pool


def _weights(task: Task, hidden: tuple[int, ...]) -> PolicyWeights:
    config = make_config(task, {"policy.hidden": hidden, "labeler": "none"})
    return ActorCritic(config.policy, task.observation_shape, task.action).export(0)


def _seconds(work: Callable[[], None]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin
