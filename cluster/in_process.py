"""The whole run in one process, its components stepped in turn: deterministic, debuggable, without Ray.

Rollouts are collected when they are submitted, with the weights of that moment, so that the policy lag and all that
follows from it are those of the distributed form.
"""

from __future__ import annotations

from typing import Any

from actors.policy import PolicyWeights
from cluster.components import RunSpec, Service, build_labeling, build_reward_service, build_worker, num_workers
from cluster.interfaces import Collected
from cluster.supervise import Life


class LocalPool:
    """Rollout workers in this process. A `RolloutPool`."""

    replaced = 0

    def __init__(self, spec: RunSpec) -> None:
        self._spec = spec
        self._workers = [build_worker(spec, index) for index in range(num_workers(spec.config))]
        self._collected: Collected = []

    @property
    def size(self) -> int:
        return len(self._workers)

    def lives(self) -> list[Life]:
        return []

    def submit(self, weights: PolicyWeights) -> None:
        self._collected = [worker.step(weights) for worker in self._workers]

    def gather(self) -> Collected:
        return self._collected

    def restart(self, generation: int) -> None:
        for worker in self._workers:
            worker.close()
        self._workers = [build_worker(self._spec, index, generation) for index in range(len(self._workers))]
        self._collected = []


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
        return {name: value for name, value in self._metrics.items() if name != "waiting"}

    def hurry(self, hurried: bool) -> None:
        """Take every turn, while no policy update comes between."""
        self._hurried = hurried

    def forget(self) -> None:
        self._turn = 0  # in a run that goes on as in one that is resumed
        self._labeling.forget()
        self._reward.forget()

    def state_dict(self) -> dict[str, Any]:
        return {
            "labeling": self._labeling.state_dict(),
            "reward": self._reward.state_dict(),
            "metrics": dict(self._metrics),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._labeling.load_state_dict(state["labeling"])
        self._reward.load_state_dict(state["reward"])
        self._metrics = dict(state.get("metrics", {}))  # a checkpoint of before has none
