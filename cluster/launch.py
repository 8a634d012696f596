"""The run as Ray sees it: which processes there are, and what happens when one dies.

    driver            learner, relabelling, supervision, terminal           (GPU where there is one)
    RolloutHost x W   one RolloutWorker each, one core                      weights in, rollout back
    ServiceHost       reward service, a bounded share of one core           (GPU where there is one)
    ServiceHost       labeling: query actor, synthetic labeler

Rollouts reach the services by reference through Ray's object store; labels, clips and snapshots go through Redis.
Nobody else applies `ray.remote`, but for the probes of `doctor --address`.

What sits where on a cluster, and why. Rollout workers: anywhere, spread; they may be lost. Labeling: beside the driver,
whose node is the one that does not come and go. The reward service: there, too; or, with `loop.reward_node`, on a node
that offers that resource of Ray's (`ray start --resources '{"reward": 1}'`), with a GPU of its own where that node has
one. On the driver's node it is entered with Ray for 0.25 of the GPU, which holds nobody to that: its share of a core is
what bounds it. Labeling, which may look at pictures there, too, is entered for nothing. A core of the driver's node is
kept for the learner where workers come unasked.
"""

from __future__ import annotations

import math
import shutil
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import psutil
import ray
import torch
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from actors.failures import Failure
from actors.frames import kept_dtype, kept_shape, stack_depth
from actors.rollout import KEYFRAME_STEPS
from cluster.components import (
    RunSpec,
    build_labeling,
    build_reward_service,
    num_workers,
    rollout_steps,
    rollouts_in_a_clip,
)
from cluster.config import LoopConfig
from cluster.elastic_pool import ElasticPool
from cluster.errors import first_line
from cluster.hosts import RolloutHost, Seat, ServiceHost
from cluster.interfaces import LABELING, REWARD_SERVICE
from cluster.interrupts import handlers_kept
from cluster.ray_pool import RayPool
from cluster.ray_services import RayServices
from cluster.supervise import Life, Tell

OBJECT_STORE_BYTES = 200 * 1024 * 1024
"""Of a Ray of our own, at least."""
_BESIDE_BYTES = 400
"""In a rollout, of a step of one environment: action, state, reward and a share of a keyframe. About, at most."""


class ClusterError(Failure, RuntimeError):
    """The cluster lacks what the run was to use."""


def object_store_bytes(spec: RunSpec) -> int:
    """Of a Ray of our own: room for the rollouts that are collected, learned from, taken in by services and remembered
    for clips; where that is more than the least only as far as memory allows. More is spilled to disk."""
    allowed = psutil.virtual_memory().total // 3
    with suppress(OSError):  # not every system has one
        allowed = min(allowed, shutil.disk_usage("/dev/shm").free)
    return max(OBJECT_STORE_BYTES, min((3 + rollouts_in_a_clip(spec)) * round_bytes(spec), allowed))


def round_bytes(spec: RunSpec) -> int:
    """One rollout of each worker, about."""
    shape, workers = spec.task.observation_shape, num_workers(spec.config)
    steps = rollout_steps(spec.config, spec.task, workers)
    seen = (steps + stack_depth(shape)) * math.prod(kept_shape(shape)) * np.dtype(kept_dtype(shape)).itemsize
    return workers * spec.config.rollout.num_envs * (seen + (steps + KEYFRAME_STEPS) * _BESIDE_BYTES)


def connect_ray(address: str, num_cpus: int, store_bytes: int = OBJECT_STORE_BYTES) -> None:
    """Join the cluster at `address`, or start a local Ray on the loopback address without a dashboard, with so many
    cores and such an object store. Raises ClusterError where there is none."""
    if address:
        try:
            with handlers_kept():
                ray.init(address=address, log_to_driver=False, namespace="twoclips")
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise ClusterError(
                f"no Ray cluster lets us in at {address} ({first_line(error)}); is it up, of this Ray's version, and "
                "is this machine's token the cluster's (~/.ray/auth_token, RAY_AUTH_MODE=token)? "
                f"`twoclips doctor --address {address}` looks closer"
            ) from error
        return
    with handlers_kept():
        ray.init(
            address="local",  # even where another Ray runs on this machine
            num_cpus=num_cpus,
            include_dashboard=False,
            log_to_driver=False,
            namespace="twoclips",
            object_store_memory=store_bytes,
            _system_config={
                "prestart_worker_first_driver": False,
                "worker_niceness": 0,
                # Its head keeps 3 KB of each call for a dashboard that is not there.
                "task_events_report_interval_ms": 0,
            },
        )


def topology(spec: RunSpec, tell: Tell = lambda *_: None) -> tuple[RayPool | ElasticPool, RayServices | None]:
    """Everything that runs beside the driver. A restarted process rebuilds itself from `spec`, Redis and the driver;
    `tell` is told of it."""
    remote: Any = ray.remote  # its types know nothing of concurrency groups
    # A rollout takes a while: how far it is can be asked beside it.
    worker = remote(num_cpus=1, num_gpus=0, concurrency_groups={"pulse": 1}, scheduling_strategy="SPREAD")(RolloutHost)

    def life(name: str) -> Life:
        return Life(name, spec.config.supervision, tell)

    # Workers run environments, which are anybody's code, and have no use for Redis, nor for its passwords.
    acting = replace(spec, redis_url="", reward_redis_url="", config=replace(spec.config, redis=""))

    def start(index: int, generation: int) -> Any:
        return worker.remote(acting, index, generation)

    remembered = rollouts_in_a_clip(spec)
    if spec.config.is_elastic:

        def steps(workers: int) -> int:
            return rollout_steps(spec.config, spec.task, workers)

        pool = ElasticPool(start, life, _Room(remote), steps, tell, remembered)
    else:
        lives = [life(f"rollout worker {index}") for index in range(num_workers(spec.config))]
        if spec.config.address and (cores := _free_cores()) < len(lives):
            tell(
                "rollout workers",
                f"the cluster has {cores} free cores for {len(lives)} rollout workers: the run waits for "
                f"{len(lives) - cores} more; add nodes, lower --workers, or use --workers auto",
            )
        pool = RayPool(start, lives, remembered)
    if not spec.config.uses_labels:
        return pool, None
    service = remote(ServiceHost)
    # A service claims no core of its own: it bounds its share itself. Its messages run beside its loop.
    light = {"num_cpus": 0, "max_concurrency": 4, "scheduling_strategy": beside_driver()}
    loop = spec.config.loop
    reward = {**light, **_reward_place(loop)}
    shares = loop.reward_share, loop.reward_steady_share
    services = RayServices(
        {
            REWARD_SERVICE: lambda: service.options(**reward).remote(spec, build_reward_service, *shares),
            LABELING: lambda: service.options(**light).remote(spec, build_labeling),
        },
        {name: life(name) for name in (LABELING, REWARD_SERVICE)},
        pool.gathered,
        tell,
    )
    return pool, services


def beside_driver() -> NodeAffinitySchedulingStrategy:
    """On the driver's node. Not softly: then Ray takes any for what claims no resources (ray-project/ray 25360)."""
    return NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)


def _reward_place(loop: LoopConfig) -> dict[str, Any]:
    """Options of the reward service's actor. Raises ClusterError where no node offers what is asked for."""
    if not loop.reward_node:
        gpus = torch.cuda.is_available() and loop.device != "cpu" and _here()["Resources"].get("GPU", 0) > 0
        return {"num_gpus": 0.25 if gpus else 0}
    offers = [node["Resources"] for node in ray.nodes() if node["Alive"] and loop.reward_node in node["Resources"]]
    if not offers:
        raise ClusterError(
            f"no node of the cluster offers the resource {loop.reward_node!r} that loop.reward_node asks for; start "
            f"one with `ray start --address HEAD --resources '{{\"{loop.reward_node}\": 1}}'`, or leave the setting out"
        )
    gpus = loop.device != "cpu" and all(offer.get("GPU", 0) >= 1 for offer in offers)
    return {
        "num_gpus": 1 if gpus else 0,
        "resources": {loop.reward_node: 0.01},
        "scheduling_strategy": "DEFAULT",
    }


class _Room:
    """How many rollout workers the cluster has room for now: the cores that nothing claims. One is kept for the learner
    where its node has more than that one."""

    def __init__(self, remote: Any) -> None:
        self._seat: Any = None  # given up with this
        if _here()["Resources"].get("CPU", 0) >= 2:
            self._seat = remote(num_cpus=1, scheduling_strategy=beside_driver())(Seat).remote()

    def __call__(self) -> int:
        return _free_cores()


def _here() -> dict[str, Any]:
    """What Ray says of the driver's node, which may offer less than the machine has."""
    return next(node for node in ray.nodes() if node["NodeID"] == ray.get_runtime_context().get_node_id())


def _free_cores() -> int:
    return int(ray.available_resources().get("CPU", 0))
