"""What stands in Ray's processes for the components of a run. Such a process imports this module: no torch in here,
whose import costs more than all that a test does."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray
from ray.cluster_utils import Cluster

from actors.weights import PolicyWeights
from cluster.machine import process_space


@contextmanager
def several_nodes(num_cpus: int) -> Iterator[Cluster]:
    """A Ray to which nodes can be added. Its head has so many cores."""
    settings = {"worker_niceness": 0}  # as a run's own Ray: where other tests are at work its processes would starve
    head = {"num_cpus": num_cpus, "include_dashboard": False, "no_monitor": True, "_system_config": settings}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        yield cluster
    finally:
        cluster.shutdown()


class FakeRolloutHost:
    """Answers at once, with its number, its node, the version of the weights and the steps that it was asked for."""

    def __init__(
        self, index: int, generation: int, breaks: bool = False, step_s: float = 0.0, rebuilding_s: float = 0.0
    ) -> None:
        if breaks:
            raise RuntimeError("there is no simulator here")
        self._index, self._done = index, 0
        self._step_s, self._rebuilding_s = step_s, rebuilding_s

    def step(self, weights: PolicyWeights, steps: int) -> tuple[int, str, int, int, int]:
        time.sleep(self._step_s)
        self._done += 1
        return self._index, ray.get_runtime_context().get_node_id(), weights.version, steps, os.getpid()

    def pulse(self) -> tuple[int, str, int]:
        return self._done, process_space(), os.getpid()

    def restart(self, generation: int) -> None:
        time.sleep(self._rebuilding_s)
        self._done = 0


class FakeService:
    """Does something all the time, until it is told to stand still; it answers all the same."""

    def __init__(self) -> None:
        self._done, self._stands, self._has_begun = 0, False, False
        self._failure = self._traceback = ""
        threading.Thread(target=self._loop, daemon=True).start()

    def _loop(self) -> None:
        while True:
            time.sleep(0.05)
            self._done += not self._stands

    def begin(self) -> None:
        self._has_begun = True

    def observe(self, agent_steps: int) -> None:
        if agent_steps < 0:
            raise KeyError(agent_steps)

    def fail(self, failure: str, traceback: str) -> None:
        self._failure, self._traceback = failure, traceback

    def forget(self) -> None:
        self._stands = True

    def state_dict(self) -> dict[str, Any]:
        return {"done": self._done}

    def load_state_dict(self, state: Any) -> None:
        raise ValueError("this is the log of another run")

    def end(self) -> None:
        os._exit(1)

    def status(self) -> dict[str, Any]:
        metrics, process = {"begun": float(self._has_begun)}, (process_space(), os.getpid())
        failure = {"failure": self._failure, "traceback": self._traceback}
        return {"metrics": metrics, **failure, "done": self._done, "process": process}


class SlowService(FakeService):
    """It takes a while to build."""

    BUILDING_S = 2.0

    def __init__(self) -> None:
        time.sleep(self.BUILDING_S)
        super().__init__()


class SilentService(FakeService):
    """It never answers."""

    def status(self) -> dict[str, Any]:
        threading.Event().wait()
        return {}


class Somewhere:
    def node(self) -> str:
        return ray.get_runtime_context().get_node_id()
