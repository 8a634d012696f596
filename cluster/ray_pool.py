"""RayPool: rollout workers in processes of Ray. What a dead or stuck one owed is asked of the one in its place."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

import ray
from ray.exceptions import GetTimeoutError, RayError, RayTaskError

from actors.policy import PolicyWeights
from cluster.interfaces import Collected
from cluster.supervise import ComponentFailure, Life

LOOK_EVERY_S = 1.0
"""How often one that lets us wait is asked how far it is."""


class RayPool:
    """One rollout in flight per worker; a dead worker is replaced and its rollout asked for again. A `RolloutPool`."""

    def __init__(self, start: Callable[[int, int], Any], lives: list[Life], remembered: int = 1) -> None:
        """`start(index, generation)` starts a worker's process; one for each life. `remembered`: how many of the latest
        rollouts of each worker `references` names, at most."""
        self._start, self._lives = start, lives
        self._workers = [start(index, 0) for index in range(len(lives))]
        self._pulses = [_Pulse(worker) for worker in self._workers]
        for life in lives:
            life.started()
        self._calls: list[Any] = []
        self._weights: Any = None
        self._generation = 0
        self._remembered: deque[list[Any]] = deque(maxlen=remembered)
        self.gathered = 0

    @property
    def replaced(self) -> int:
        return sum(life.restarts for life in self._lives)

    def lives(self) -> list[Life]:
        return self._lives

    def submit(self, weights: PolicyWeights) -> None:
        self._weights = ray.put({"version": weights.version, "vector": weights.vector})
        self._calls = [worker.step.remote(self._weights) for worker in self._workers]

    def gather(self) -> Collected:
        collected = [self._get(index) for index in range(len(self._workers))]
        self._remembered.append(self._calls)
        self.gathered += 1
        return collected

    def references(self, since: int) -> list[Any]:
        """The latest rollouts in the object store, the oldest first, but none of the first `since` that were gathered
        of each worker."""
        new = min(len(self._remembered), self.gathered - since)
        return [call for calls in list(self._remembered)[len(self._remembered) - new :] for call in calls]

    def _get(self, index: int) -> Any:
        """(Rollout, Hidden)"""
        life = self._lives[index]
        if self._pulses[index].process is None:
            self._pulses[index].feel(life)  # once, so that it is known which process it is
        while True:
            try:
                collected = ray.get(self._calls[index], timeout=LOOK_EVERY_S)
            except GetTimeoutError:
                self._pulses[index].feel(life)
                if life.is_stuck:
                    self._pulses[index].end()
                    self._replace(index, f"it had done nothing for {life.silent_s:.0f} s")
            except RayTaskError as error:
                raise error.cause if isinstance(error.cause, Exception) else error from None
            except RayError as error:
                raise_if_unbuildable(life.name, error)
                self._replace(index, reason_of(error))
            else:
                life.moved()
                return collected

    def _replace(self, index: int, why: str) -> None:
        life = self._lives[index]
        life.ended(why)
        time.sleep(life.pause_s)
        life.started()
        self._workers[index] = self._start(index, self._generation + 500 + self.replaced)
        self._pulses[index] = _Pulse(self._workers[index])
        self._calls[index] = self._workers[index].step.remote(self._weights)

    def restart(self, generation: int) -> None:
        self._generation = generation
        for worker in self._workers:
            worker.restart.remote(generation)
        self._calls = []
        self._remembered.clear()


class _Pulse:
    """Asks one worker, beside the rollout that it is at, how many steps it has done."""

    def __init__(self, worker: Any) -> None:
        self._worker = worker
        self._asked: Any = None
        self.process: tuple[str, int] | None = None

    def feel(self, life: Life) -> None:
        """Takes in the last answer, if there is one, and asks again. Nobody waits."""
        if self._asked is not None and is_done(self._asked):
            with suppress(RayError):  # the rollout that is waited for will say what happened
                done, host, process_id = cast(Any, ray.get(self._asked))
                self.process = host, process_id
                life.process_id = local_process(self.process)
                life.heard(done)
            self._asked = None
        if self._asked is None:
            self._asked = self._worker.pulse.options(concurrency_group="pulse").remote()

    def end(self) -> None:
        """Ends its process, by force."""
        end_actor(self._worker, self.process)


def end_actor(actor: Any, process: Any) -> None:
    """By Ray, and by a signal where it is on this machine: one that is stopped does not hear Ray. `process`: (host,
    process id), if it ever said so."""
    with suppress(RayError, ValueError):
        ray.kill(actor)
    if process_id := local_process(process):
        with suppress(OSError):
            os.kill(process_id, signal.SIGKILL)


def local_process(process: tuple[str, int] | None) -> int | None:
    """Of (host, process id) the latter, where that is this machine."""
    return process[1] if process and process[0] == socket.gethostname() else None


def is_done(reference: Any) -> bool:
    ready, _ = ray.wait([reference], timeout=0)
    return bool(ready)


def reason_of(error: Exception) -> str:
    """What Ray says of a death, in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rstrip(".") if lines else type(error).__name__


def raise_if_unbuildable(name: str, error: Exception) -> None:
    """A process whose component cannot even be built would die again and again: say why, once."""
    if getattr(error, "actor_init_failed", False):
        reason = str(error).strip().splitlines()[-1]
        raise ComponentFailure(f"the {name} could not start: {reason}") from error
