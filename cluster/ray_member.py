"""Member: the process of one rollout worker, asked for a rollout and felt for a pulse while it is at it."""

from __future__ import annotations

import math
import os
import signal
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn, cast

import ray
from ray.exceptions import GetTimeoutError, RayError, RayTaskError

from cluster.machine import process_space
from cluster.supervise import ComponentFailure, Life

LOOK_EVERY_S = 1.0
"""How often one that lets us wait is asked how far it is."""


class GoneError(Exception):
    """Its process is gone, or was ended since it was stuck; says why."""


class SilentError(Exception):
    """It gave no sign of life for longer than somebody would wait. It may come back."""


class Member:
    """One rollout worker's process at a time, and its call in flight. Raises what its component raised."""

    def __init__(self, start: Callable[[int, int], Any], index: int, life: Life) -> None:
        """`start(index, generation)` starts a process."""
        self.index, self.life, self._start = index, life, start
        self.call: Any = None
        self._actor: Any = None
        self._asked: Any = None
        self.rebuilt: Any = None
        """The call to build its environments anew, until that is done."""
        self.is_up = False
        """Whether its process has said so."""

    def begin(self, generation: int) -> None:
        """A process, its first or the next."""
        self._actor = self._start(self.index, generation)
        self._asked, self.is_up, self.call, self.rebuilt = None, False, None, None
        self.life.started()

    def ask(self, weights: Any, steps: int = 0) -> None:
        """For a rollout of so many steps, 0 for as many as it was built for, with the weights of this reference."""
        self.call = self._actor.step.remote(weights, steps)

    def restart(self, generation: int) -> None:
        """Episodes start anew, and what was asked for is nobody's any more."""
        self.rebuilt = self._actor.restart.remote(generation)
        self.life.rebuilding()
        self.call = None

    def collect(self, patience_s: float = math.inf) -> Any:
        """(Rollout, Hidden), waited for. Raises GoneError, and SilentError after `patience_s` without a sign of
        life."""
        self.life.attend()  # the learner was at work, and nobody listened
        if not self.is_up:
            self.feel()  # once, so that it is known which process it is
        while True:
            try:
                collected = ray.get(self.call, timeout=LOOK_EVERY_S)
            except GetTimeoutError:
                self.feel()
                self.end_if_stuck()
                if self.life.is_silent(patience_s):
                    raise SilentError from None
            except RayTaskError as error:
                raise_cause(error)
            except RayError as error:
                raise_if_unbuildable(self.life.name, error)
                raise GoneError(reason_of(error)) from error
            else:
                self.life.moved()
                return collected

    def feel(self) -> None:
        """Takes in the last answer to the question how many steps it has done, if there is one, and asks again. Nobody
        waits. Raises GoneError."""
        self.life.listened()
        if self.rebuilt is not None and is_done(self.rebuilt):
            self.rebuilt = None
        if self._asked is not None and is_done(self._asked):
            try:
                done, space, process_id = cast(Any, ray.get(self._asked))
            except RayError as error:
                raise_if_unbuildable(self.life.name, error)
                raise GoneError(reason_of(error)) from error
            self._asked, self.is_up = None, True
            self.life.process_id = local_process((space, process_id))
            self.life.heard(done, is_built=self.rebuilt is None)
        if self._asked is None:
            self._asked = self._actor.pulse.options(concurrency_group="pulse").remote()

    def end_if_stuck(self) -> None:
        """Raises GoneError where it was."""
        if self.life.is_stuck:
            silent_s = self.life.silent_s
            end_actor(self._actor, self.life.process_id)
            raise GoneError(f"it had done nothing for {silent_s:.0f} s")


class Gathered:
    """References to the latest rollouts of a pool in the object store, for whoever is shown them beside the driver."""

    def __init__(self, remembered: int) -> None:
        """`remembered`: of how many rounds."""
        self._rounds: deque[list[Any]] = deque(maxlen=remembered)
        self.rounds = 0

    def add(self, calls: list[Any]) -> None:
        self._rounds.append(calls)
        self.rounds += 1

    def since(self, rounds: int) -> list[Any]:
        """The oldest first, but none of the first so many rounds."""
        new = min(len(self._rounds), self.rounds - rounds)
        return [call for calls in list(self._rounds)[len(self._rounds) - new :] for call in calls]

    def clear(self) -> None:
        self._rounds.clear()


def end_actor(actor: Any, process_id: int | None) -> None:
    """By Ray, and by a signal where it is known as a process of this machine: one that is stopped does not hear Ray."""
    with suppress(RayError, ValueError):
        ray.kill(actor)
    if process_id:
        with suppress(OSError):
            os.kill(process_id, signal.SIGKILL)


def local_process(process: tuple[str, int]) -> int | None:
    """Of (process space, process id) the latter, where that is one of this machine's."""
    return process[1] if process[0] == process_space() else None


def is_done(reference: Any) -> bool:
    ready, _ = ray.wait([reference], timeout=0)
    return bool(ready)


def reason_of(error: Exception) -> str:
    """What Ray says of a death, in one line: its first says only that there was one, a later one why."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if line.startswith(("The actor is dead because", "The actor died because"))]
    return (told or lines or [type(error).__name__])[0][:300].rstrip(".")


def raise_cause(error: RayTaskError) -> NoReturn:
    """What a component raised, and with it its traceback in the other process, which is all that a defect tells."""
    if isinstance(error.cause, Exception):
        raise error.cause from error
    raise error


def raise_if_unbuildable(name: str, error: Exception) -> None:
    """A process whose component cannot even be built would die again and again: say why, once."""
    if getattr(error, "actor_init_failed", False):
        reason = str(error).strip().splitlines()[-1]
        raise ComponentFailure(f"the {name} could not start: {reason}") from error
