"""The whole run in one process, its components stepped in turn: deterministic, debuggable, without Ray.

Rollouts are those of the weights that were submitted, so that the policy lag and all that follows from it are those of
the distributed form. They are collected at once, or, where acting takes little of the learner's core, on a thread
beside it: what comes of it is the same to the last bit, since all that a worker draws on is its own.
"""

from __future__ import annotations

from concurrent.futures import Future
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import Any

from actors.rollout import RolloutWorker
from actors.weights import PolicyWeights
from cluster.components import (
    RunSpec,
    acting_device,
    build_labeling,
    build_reward_service,
    build_worker,
    num_workers,
    pick_device,
)
from cluster.device_memory import device_memory
from cluster.interfaces import ASIDES, LABELING, REWARD_SERVICE, Collected
from cluster.services import Service
from cluster.supervise import Life
from cluster.threads import torch_threads

_STOP_S = 10.0


class LocalPool:
    """Rollout workers in this process. A `RolloutPool`.

    Between `submit` and `gather` a thread acts, if the environments are stepped on other cores, or the policy acts or
    learns on a GPU; otherwise `submit` does. What the thread fails with `gather` raises, as it is. `restart` and
    `close` tell the thread to stop, which it does at its next step of all environments; if it has not within seconds,
    the processes that it waits for are ended, and then what remains is left to itself: nobody can end a thread.
    Workers are built by the first `submit`, and by the first after a `restart`."""

    replaced = 0

    def __init__(self, spec: RunSpec) -> None:
        self._spec = spec
        gpu = "cuda" in (acting_device(spec.config).type, pick_device(spec.config).type)
        self._beside = gpu or spec.config.rollout.cores > 1
        self._workers: list[RolloutWorker] = []
        self._generation = 0
        self._collected: Collected = []
        self._acting: _Acting | None = None
        self._collecting: Future[Collected] | None = None

    @property
    def size(self) -> int:
        return num_workers(self._spec.config)

    def lives(self) -> list[Life]:
        return []

    def submit(self, weights: PolicyWeights) -> None:
        for index in range(len(self._workers), num_workers(self._spec.config)):
            self._workers.append(build_worker(self._spec, index, self._generation))
        if self._beside:
            self._acting = self._acting or _Acting()
            self._collecting = self._acting.submit(partial(self._collect, weights))
        else:
            self._collected = self._collect(weights)

    def _collect(self, weights: PolicyWeights) -> Collected:
        # One thread whoever calls: with more, sums could be of another order, and the run another.
        with torch_threads(1), device_memory("acting", self._spec.config):
            return [worker.step(weights) for worker in self._workers]

    def gather(self) -> Collected:
        if self._collecting is not None:
            self._collected, self._collecting = self._collecting.result(), None
        return self._collected

    def restart(self, generation: int) -> None:
        self.close()
        self._generation = generation

    def close(self) -> None:
        for worker in self._workers:
            worker.abandon()
        if self._acting is not None:
            self._acting.end()
            self._acting.join(_STOP_S)
        for worker in self._workers:
            worker.close()
        if self._acting is not None:
            self._acting.join(_STOP_S)
        self._workers, self._collected, self._acting, self._collecting = [], [], None, None


class _Acting(Thread):
    """A thread that acts, the same one from rollout to rollout: cuDNN keeps its plans for each thread. It does not keep
    the process from ending."""

    def __init__(self) -> None:
        super().__init__(name="acting", daemon=True)
        self._calls: SimpleQueue[tuple[partial[Collected], Future[Collected]] | None] = SimpleQueue()
        self.start()

    def submit(self, collect: partial[Collected]) -> Future[Collected]:
        """Its result, once it is there, or what it raised."""
        outcome = Future[Collected]()
        self._calls.put((collect, outcome))
        return outcome

    def end(self) -> None:
        """After what it was given."""
        self._calls.put(None)

    def run(self) -> None:
        while (call := self._calls.get()) is not None:
            collect, outcome = call
            try:
                outcome.set_result(collect())
            except BaseException as error:
                outcome.set_exception(error)
            del call, collect, outcome  # no rollout is kept for longer than whoever asked for it keeps it


class LocalServices:
    """Labeling, then reward training, stepped once for every policy update, or every so many. A `Services`."""

    def __init__(self, spec: RunSpec) -> None:
        self._labeling: Service = build_labeling(spec)
        self._reward: Service = build_reward_service(spec)
        self._reward_steps = spec.config.loop.reward_steps
        self._service_updates = spec.config.loop.service_updates
        self._turn, self._hurried = 0, False
        self._metrics: dict[str, float] = {}

    def observe(self, collected: Collected, agent_steps: int) -> None:
        for rollout, hidden in collected:
            self._labeling.observe(rollout, hidden, agent_steps)
            self._reward.observe(rollout, hidden, agent_steps)

    def reach(self, agent_steps: int) -> None:
        self._labeling.reach(agent_steps)

    def advance(self) -> None:
        self._turn += 1
        if not self._hurried and self._turn % self._service_updates:
            return
        self._metrics.update(self._labeling.step())
        for _ in range(self._reward_steps):
            self._metrics.update(self._reward.step())

    def lives(self) -> list[Life]:
        return []

    def metrics(self) -> dict[str, float]:
        return {name: value for name, value in self._metrics.items() if name not in ASIDES}

    def hurry(self, hurried: bool) -> None:
        """Take every turn, while no policy update comes between."""
        self._hurried = hurried

    def forget(self) -> None:
        self._turn = 0  # in a run that goes on as in one that is resumed
        self._labeling.forget()
        self._reward.forget()

    def state_dict(self) -> dict[str, Any]:
        return {
            LABELING: self._labeling.state_dict(),
            REWARD_SERVICE: self._reward.state_dict(),
            "metrics": dict(self._metrics),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._labeling.load_state_dict(state[LABELING])
        self._reward.load_state_dict(state[REWARD_SERVICE])
        self._metrics = dict(state["metrics"])
