"""The run as Ray sees it: which processes there are, and what happens when one dies.

    driver            learner, relabelling, supervision, terminal           (GPU where there is one)
    RolloutHost x W   one RolloutWorker each, one core                      weights in, rollout back
    ServiceHost       reward service, a bounded share of one core           (GPU where there is one)
    ServiceHost       labeling: query actor, synthetic labeler

Rollouts reach the services by reference through Ray's object store; labels, clips and snapshots go through Redis.
This is the only module that applies `ray.remote`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import ray
import torch
from ray.exceptions import RayActorError, RayError, RayTaskError

from actors.policy import PolicyWeights
from actors.trajectory import Hidden, Rollout
from cluster.components import RunSpec, build_labeling, build_reward_service, num_cores, num_workers
from cluster.hosts import RolloutHost, ServiceHost
from cluster.interfaces import Collected

OBJECT_STORE_BYTES = 200 * 1024 * 1024


class ComponentFailure(RuntimeError):
    """A component failed in a way that starting it again would not cure."""


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


def topology(spec: RunSpec) -> tuple[RayPool, RayServices | None]:
    """Everything that runs beside the driver. A restarted process rebuilds itself from `spec`, Redis and the driver."""
    gpus = 1 if torch.cuda.is_available() and spec.config.loop.device != "cpu" else 0
    worker = ray.remote(RolloutHost).options(num_cpus=1, num_gpus=0)
    service = ray.remote(ServiceHost)
    share = spec.config.loop.reward_share
    # A service claims no core of its own: it bounds its share itself. Its messages run beside its loop.
    light: dict[str, Any] = {"num_cpus": 0, "max_concurrency": 4}

    pool = RayPool(lambda index, generation: worker.remote(spec, index, generation), num_workers(spec.config))
    if not spec.config.uses_labels:
        return pool, None
    services = RayServices(
        {
            "labeling": lambda: service.options(**light).remote(spec, build_labeling, 1.0),
            "reward_service": lambda: service.options(**light, num_gpus=gpus / 4).remote(
                spec, build_reward_service, share
            ),
        },
        pool,
    )
    return pool, services


class RayPool:
    """One rollout in flight per worker; a dead worker is replaced and its rollout asked for again. A `RolloutPool`."""

    GIVE_UP_AFTER = 20

    def __init__(self, start: Callable[[int, int], Any], count: int) -> None:
        self._start = start
        self._workers = [start(index, 0) for index in range(count)]
        self._calls: list[Any] = []
        self._weights: Any = None
        self._generation = 0
        self.replaced = 0
        self.references: list[Any] = []

    def submit(self, weights: PolicyWeights) -> None:
        self._weights = ray.put({"version": weights.version, "vector": weights.vector})
        self._calls = [worker.step.remote(self._weights) for worker in self._workers]

    def gather(self) -> Collected:
        collected = [self._get(index) for index in range(len(self._workers))]
        self.references = self._calls
        return collected

    def _get(self, index: int) -> tuple[Rollout, Hidden]:
        while True:
            try:
                return ray.get(self._calls[index])
            except RayTaskError as error:
                raise error.cause if isinstance(error.cause, Exception) else error from None
            except RayError as error:
                _raise_if_unbuildable("rollout worker", error)
                self.replaced += 1
                if self.replaced > self.GIVE_UP_AFTER * len(self._workers):
                    raise ComponentFailure(
                        f"rollout workers died {self.replaced} times ({error}); is memory short? lower --workers, "
                        "then continue with --resume"
                    ) from error
                self._workers[index] = self._start(index, self._generation + 500 + self.replaced)
                self._calls[index] = self._workers[index].step.remote(self._weights)

    def restart(self, generation: int) -> None:
        self._generation = generation
        for worker in self._workers:
            worker.restart.remote(generation)
        self._calls = []


class RayServices:
    """The service hosts, watched: one that dies is started again, one whose service failed ends the run. A `Services`.

    Nothing here waits for a host. Once the agent learns, an observation a second is enough for statistics and for
    clips; more are dropped, and so is one that comes while the one before is still being taken in."""

    GIVE_UP_AFTER = 20
    OBSERVE_EVERY_S = 1.0

    def __init__(self, start: dict[str, Callable[[], Any]], pool: RayPool) -> None:
        self._start, self._pool = start, pool
        self._hosts = {name: build() for name, build in start.items()}
        self._observing: dict[str, Any] = dict.fromkeys(start)
        self._asking: dict[str, Any] = {name: host.status.remote() for name, host in self._hosts.items()}
        self._status: dict[str, dict[str, Any]] = {}
        self._asked_s = time.monotonic()
        self._observed_s = -math.inf
        self._hurried = False
        self.restarts = 0

    def observe(self, collected: Collected, agent_steps: int) -> None:
        del collected  # the hosts fetch the same rollouts from the object store themselves
        if not self._hurried and time.monotonic() - self._observed_s < self.OBSERVE_EVERY_S:
            return
        self._observed_s = time.monotonic()
        for name, host in self._hosts.items():
            if self._has_observed(name):
                self._observing[name] = host.observe.remote(agent_steps, *self._pool.references)

    def _has_observed(self, name: str) -> bool:
        """Whether the host has taken in what it was given last. Raises ComponentFailure for what it could not."""
        if self._observing[name] is None:
            return True
        if not _is_done(self._observing[name]):
            return False
        try:
            ray.get(self._observing[name])
        except RayActorError:
            pass  # `advance` will notice, and start another
        except RayTaskError as error:
            raise ComponentFailure(f"the {name} could not take in a rollout: {error.cause}") from error
        return True

    def advance(self) -> None:
        if time.monotonic() - self._asked_s < 0.2:
            return
        self._asked_s = time.monotonic()
        for name in self._hosts:
            if _is_done(self._asking[name]):
                self._take_status(name)

    def _take_status(self, name: str) -> None:
        try:
            self._status[name] = ray.get(self._asking[name])
        except RayActorError as error:
            self._revive(name, error)
            return
        failure = self._status.get(name, {}).get("failure")
        if failure:
            raise ComponentFailure(f"the {name} stopped: {failure}; continue with --resume when that is mended")
        self._asking[name] = self._hosts[name].status.remote()

    def _revive(self, name: str, error: Exception) -> None:
        _raise_if_unbuildable(name, error)
        self.restarts += 1
        if self.restarts > self.GIVE_UP_AFTER:
            raise ComponentFailure(
                f"the {name} died {self.restarts} times ({error}); continue with --resume"
            ) from error
        self._hosts[name] = self._start[name]()
        self._observing[name] = None
        self._asking[name] = self._hosts[name].status.remote()

    def metrics(self) -> dict[str, float]:
        merged: dict[str, float] = {"services_restarted": float(self.restarts)}
        for status in self._status.values():
            merged.update({name: value for name, value in status["metrics"].items() if name != "waiting"})
        return merged

    def process_ids(self) -> dict[str, int]:
        return {name: status["pid"] for name, status in self._status.items()}

    def reach(self, agent_steps: int) -> None:
        for host in self._hosts.values():
            host.reach.remote(agent_steps)

    def hurry(self, hurried: bool) -> None:
        self._hurried = hurried
        for host in self._hosts.values():
            host.hurry.remote(hurried)

    def forget(self) -> None:
        self._observed_s = -math.inf  # they have nothing now: show them the next rollout at once
        for host in self._hosts.values():
            host.forget.remote()

    def state_dict(self) -> dict[str, Any]:
        return {name: self._call(name, "state_dict") for name in self._hosts}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name in self._hosts:
            self._call(name, "load_state_dict", state[name])

    def _call(self, name: str, method: str, *args: Any) -> Any:
        """Call a host and wait; where it has died, ask the one that takes its place."""
        while True:
            try:
                return ray.get(getattr(self._hosts[name], method).remote(*args))
            except RayActorError as error:
                self._revive(name, error)


def _raise_if_unbuildable(name: str, error: Exception) -> None:
    """A process whose component cannot even be built would die again and again: say why, once."""
    if getattr(error, "actor_init_failed", False):
        reason = str(error).strip().splitlines()[-1]
        raise ComponentFailure(f"the {name} could not start: {reason}") from error


def _is_done(reference: Any) -> bool:
    ready, _ = ray.wait([reference], timeout=0)
    return bool(ready)
