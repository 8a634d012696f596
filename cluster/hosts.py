"""What a process of a run is built around: one rollout worker, or one service that works by itself.

Plain classes: `cluster.launch` says in which processes they live.
"""

from __future__ import annotations

import os
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

import redis
import torch

from actors.trajectory import Hidden, Rollout
from actors.weights import PolicyWeights
from cluster.components import RunSpec, build_worker
from cluster.errors import exit_code, sentence
from cluster.freed_memory import keep_freed_memory
from cluster.machine import process_space
from cluster.services import Service
from learners.checkpoint import plain

BUILT_WITHIN_S = 60.0
"""How long a service that is to be built waits for Redis."""


class RolloutHost:
    """One RolloutWorker in a process of its own."""

    def __init__(self, spec: RunSpec, worker: int, generation: int) -> None:
        torch.set_num_threads(1)
        keep_freed_memory()
        self._spec, self._index = spec, worker
        self._worker = build_worker(spec, worker, generation)

    def step(self, weights: PolicyWeights, steps: int = 0) -> tuple[Rollout, Hidden]:
        return self._worker.step(weights, steps)

    def pulse(self) -> tuple[int, str, int]:
        """How many steps are done, also in the middle of a rollout; and who says so: process space and id."""
        return self._worker.steps_done, process_space(), os.getpid()

    def restart(self, generation: int) -> None:
        self._worker.close()
        self._worker = build_worker(self._spec, self._index, generation)


def _built(spec: RunSpec, build: Callable[[RunSpec], Service]) -> Service:
    """What reads Redis when it is built waits for one that is away, as it does later."""
    deadline_s = time.monotonic() + BUILT_WITHIN_S
    while True:
        try:
            return build(spec)
        except redis.AuthenticationError:
            raise
        except (redis.ConnectionError, redis.TimeoutError):
            if time.monotonic() > deadline_s:
                raise
            time.sleep(0.5)


class Seat:
    """Does nothing, in a place that is kept for something else."""


class ServiceHost:
    """Runs one service's `step` again and again on a thread of its own, once `begin` is called, using at most `share`
    of one core; or, if that is less, `steady_share` after a step that says it is not `behind`, until it has news. Where
    the service has a GPU at work it is a share of the time.

    What it is shown meanwhile is taken in beside that. A lost connection to Redis is waited out; any other error ends
    the loop and is reported by `status`. A step that had nothing to do (`waiting`) is followed by a short sleep.
    """

    IDLE_S = 0.2
    REST_S = 1.0

    def __init__(
        self, spec: RunSpec, build: Callable[[RunSpec], Service], share: float = 1.0, steady_share: float = 1.0
    ) -> None:
        torch.set_num_threads(1)
        keep_freed_memory()
        os.nice(5)  # acting comes first where cores are few
        self._service, self._hurried = _built(spec, build), False
        self._share, self._steady_share = share, min(share, steady_share)
        self._lock = threading.Lock()
        self._begun = threading.Event()
        self._metrics: dict[str, float] = {}
        self._failure = self._traceback = ""
        self._clock: int | None = None  # of the loop's processor time; not every system has one
        # Rounds of the loop, those included in which it rested, or waited for Redis or the beginning; rollouts taken in
        self._done = 0
        self._thread = threading.Thread(target=self._loop, daemon=True)
        self._thread.start()

    def _loop(self) -> None:
        while not self._begun.wait(self.REST_S):
            self._done += 1
        if hasattr(time, "pthread_getcpuclockid"):
            self._clock = time.pthread_getcpuclockid(threading.get_ident())
        # A GPU that it has at work is taken from others, though nothing is done here meanwhile.
        now_s = time.monotonic if torch.cuda.is_initialized() else time.thread_time
        while True:
            begin = now_s()
            try:
                with self._lock:
                    self._metrics = self._service.step()
            except (redis.ConnectionError, redis.TimeoutError):
                time.sleep(0.5)
            except Exception as error:
                if exit_code(error):
                    self._failure = sentence(error)
                else:
                    self._traceback = traceback.format_exc()
                    self._failure = f"{type(error).__name__}: {error}; continue with --resume when that is mended"
                return
            self._done += 1
            used_s = now_s() - begin
            idle_s = self.IDLE_S if self._metrics.get("waiting") else 0.0
            share = self._share if self._metrics.get("behind", 1.0) else self._steady_share
            self._rest(idle_s, used_s * (1 / self._share - 1), used_s * (1 / share - 1))

    def _rest(self, idle_s: float, least_s: float, most_s: float) -> None:
        """Sleep for `idle_s` at least; for `most_s`, unless the agent waits, or something has come in, for which
        `least_s` and a second are rest enough. Say meanwhile that this is meant: after a long step a small share means
        a long rest."""
        begin_s = time.monotonic()
        while True:
            rested_s = time.monotonic() - begin_s
            is_over = (
                self._hurried or rested_s >= most_s or (rested_s >= max(least_s, self.REST_S) and self._has_news())
            )
            if rested_s >= idle_s and is_over:
                return
            time.sleep(min(self.REST_S, max(idle_s, most_s) - rested_s))
            self._done += 1

    def _has_news(self) -> bool:
        try:
            return self._service.has_news()
        except (redis.ConnectionError, redis.TimeoutError):
            return False
        except Exception:
            return True  # the next step runs into it, too, and says so

    def begin(self) -> None:
        """Those that it works with are there."""
        self._begun.set()

    def observe(self, agent_steps: int, *collected: tuple[Rollout, Hidden]) -> None:
        with self._lock:
            for rollout, hidden in collected:
                self._service.observe(rollout, hidden, agent_steps)
                self._done += 1  # the loop waits meanwhile

    def reach(self, agent_steps: int) -> None:
        with self._lock:
            self._service.reach(agent_steps)

    def hurry(self, hurried: bool) -> None:
        self._hurried = hurried

    def forget(self) -> None:
        with self._lock:
            self._service.forget()

    def status(self) -> dict[str, Any]:
        return {
            "metrics": self._metrics,
            "failure": self._failure,
            "traceback": self._traceback,  # of a defect
            "done": self._done + int(self._used_s()),
            "process": (process_space(), os.getpid()),
        }

    def _used_s(self) -> float:
        """Processor time of the loop, also in mid-step: on a busy machine a step may take longer than anything that is
        stuck is waited for."""
        try:
            return 0.0 if self._clock is None else time.clock_gettime(self._clock)
        except OSError:  # the loop has ended
            return 0.0

    def state_dict(self) -> dict[str, Any]:
        """A copy: the loop goes on while it travels, and whoever reads it may have no GPU."""
        with self._lock:
            return plain(self._service.state_dict())

    def load_state_dict(self, state: dict[str, Any]) -> None:
        with self._lock:
            self._service.load_state_dict(state)
