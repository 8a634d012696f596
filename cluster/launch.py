"""The run as Ray sees it: which processes there are, and what happens when one dies.

    driver            learner, relabelling, supervision, terminal           (GPU where there is one)
    RolloutHost x W   one RolloutWorker each, one core                      weights in, rollout back
    ServiceHost       reward service, a bounded share of one core           (GPU where there is one)
    ServiceHost       labeling: query actor, synthetic labeler

Rollouts reach the services by reference through Ray's object store; labels, clips and snapshots go through Redis.
This is the only module that applies `ray.remote`.
"""

from __future__ import annotations

from typing import Any

import ray
import torch

from cluster.components import (
    RunSpec,
    build_labeling,
    build_reward_service,
    num_cores,
    num_workers,
    rollouts_in_a_clip,
)
from cluster.hosts import RolloutHost, ServiceHost
from cluster.ray_pool import RayPool
from cluster.ray_services import RayServices
from cluster.supervise import Life, Tell

OBJECT_STORE_BYTES = 200 * 1024 * 1024


def connect_ray(address: str, num_cpus: int = 0) -> None:
    """Join the cluster at `address`, or start a local Ray on the loopback address without a dashboard, with this
    machine's cores or `num_cpus` of them."""
    if address:
        ray.init(address=address, log_to_driver=False, namespace="twoclips")
        return
    ray.init(
        num_cpus=num_cpus or num_cores(),
        include_dashboard=False,
        log_to_driver=False,
        namespace="twoclips",
        object_store_memory=OBJECT_STORE_BYTES,
        _system_config={"prestart_worker_first_driver": False, "worker_niceness": 0},
    )


def topology(spec: RunSpec, tell: Tell = lambda _: None) -> tuple[RayPool, RayServices | None]:
    """Everything that runs beside the driver. A restarted process rebuilds itself from `spec`, Redis and the driver;
    `tell` is told of it."""
    remote: Any = ray.remote  # its types know nothing of concurrency groups
    gpus = 1 if torch.cuda.is_available() and spec.config.loop.device != "cpu" else 0
    # A rollout takes a while: how far it is can be asked beside it.
    worker = remote(num_cpus=1, num_gpus=0, concurrency_groups={"pulse": 1})(RolloutHost)
    service = remote(ServiceHost)
    share = spec.config.loop.reward_share
    # A service claims no core of its own: it bounds its share itself. Its messages run beside its loop.
    light: dict[str, Any] = {"num_cpus": 0, "max_concurrency": 4}

    def life(name: str) -> Life:
        return Life(name, spec.config.supervision, tell)

    pool = RayPool(
        lambda index, generation: worker.remote(spec, index, generation),
        [life(f"rollout worker {index}") for index in range(num_workers(spec.config))],
        remembered=rollouts_in_a_clip(spec),
    )
    if not spec.config.uses_labels:
        return pool, None
    services = RayServices(
        {
            "labeling": lambda: service.options(**light).remote(spec, build_labeling, 1.0),
            "reward_service": lambda: service.options(**light, num_gpus=gpus / 4).remote(
                spec, build_reward_service, share
            ),
        },
        {"labeling": life("labeling"), "reward_service": life("reward service")},
        pool,
    )
    return pool, services
