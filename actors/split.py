"""SplitSimulator: B worlds in several processes, so that several cores step them.

    build = partial(simulator_of, task, seed)  # build(first, count): the worlds from number `first` on
    simulator = SplitSimulator(build, task, num_envs=16, cores=2)

Why not threads: ale_py's `act` and gymnasium's Python hold the interpreter's lock. What every step changes lies in
memory that all processes see; over a pipe to each goes who is to do what, and what is rare: kept moments, games that
ended.

The same as one simulator of all B worlds, bit for bit: a world's random numbers follow from its own number.

A process ends when its pipe does, in whatever way its parent came to an end; Ctrl-C is the parent's to hear. One that
dies or raises becomes an EnvironmentFailure in the parent; its answer is waited for as long as its parent would step
the worlds itself. It imports no torch, where the program's main module does
not: with 8 games of Pong it is some 40 MiB large.
"""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from actors.frames import kept_dtype, kept_shape
from actors.simulators import Emulator, EnvironmentFailure, Simulator
from actors.tasks import Task

Array = np.ndarray
Build = Callable[[int, int], Simulator]

_SPAWN = multiprocessing.get_context("spawn")  # a fork would inherit locks that other threads hold
_CLOSE_S = 5.0


class _Shared:
    """Arrays that all processes see, their first axis the worlds. Memory without a name: nobody has to remove it."""

    def __init__(self, task: Task, num_envs: int) -> None:
        number = np.int64 if task.action.discrete else np.float64  # holds any float32 as it is
        seen = kept_shape(task.observation_shape), kept_dtype(task.observation_shape)
        layout: dict[str, tuple[tuple[int, ...], Any]] = {
            "actions": (task.action.shape, number),
            "observations": seen,
            "rewards": ((), np.float64),
            "starts": ((2,), np.int64),
            "begun": ((), np.int64),
        }
        self._layout = {name: ((num_envs, *shape), np.dtype(kind)) for name, (shape, kind) in layout.items()}
        self._raw = {
            name: _SPAWN.RawArray("b", int(np.prod(shape)) * kind.itemsize)
            for name, (shape, kind) in self._layout.items()
        }

    def array(self, name: str) -> Array:
        shape, kind = self._layout[name]
        return np.frombuffer(self._raw[name], kind).reshape(shape)


class SplitSimulator:
    """A `Simulator`. Not for two threads at once, but for `close`, which one may call while another waits in `step`:
    that ends with an EnvironmentFailure."""

    def __init__(self, build: Build, task: Task, num_envs: int, cores: int) -> None:
        self.num_envs = num_envs
        self._name = task.name
        shared = _Shared(task, num_envs)
        self._actions, self._observations = shared.array("actions"), shared.array("observations")
        self._rewards, self._starts, self._begun = (shared.array(name) for name in ("rewards", "starts", "begun"))
        self._edges = [num_envs * part // cores for part in range(cores + 1)]
        self._pipes: list[Any] = []
        self._processes: list[Any] = []
        try:
            self._start(build, shared)
        except BaseException:
            self.close()
            raise

    def _start(self, build: Build, shared: _Shared) -> None:
        resource_tracker.ensure_running()  # it would let through what is held back here
        # A process would hear a Ctrl-C before it could ignore it. It inherits this; the parent hears it afterwards.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            for first, end in zip(self._edges, self._edges[1:], strict=False):
                ours, theirs = _SPAWN.Pipe()
                self._pipes.append(ours)
                process = _SPAWN.Process(
                    target=_serve, args=(theirs, build, shared, first, end), name=f"worlds {first}-{end}", daemon=True
                )
                process.start()
                self._processes.append(process)
                theirs.close()  # so that a pipe ends with its process
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    @property
    def process_ids(self) -> list[int]:
        return [process.pid for process in self._processes]

    def reset(self, ids: Array) -> None:
        within = [
            ids[(ids >= first) & (ids < end)] - first for first, end in zip(self._edges, self._edges[1:], strict=False)
        ]
        self._ask([("reset", some) if len(some) else None for some in within])

    def observe(self) -> Array:
        return self._observations

    def states(self) -> Array:
        return np.empty((self.num_envs, 0), np.float32)

    def starts(self) -> Array | None:
        return self._starts.copy()

    def step(self, actions: Array) -> Array:
        self._step(actions, mark=False)
        return self._rewards.copy()

    def _step(self, actions: Array, mark: bool) -> list[Any]:
        self._actions[:] = actions
        return self._ask_all("step", mark)

    def _ask_all(self, name: str, *arguments: Any) -> list[Any]:
        return self._ask([(name, *arguments)] * len(self._pipes))

    def _ask(self, questions: Sequence[tuple[Any, ...] | None]) -> list[Any]:
        """What each of those that are asked something answers; they are at work at the same time."""
        asked = [part for part, question in enumerate(questions) if question is not None]
        for part in asked:
            with suppress(OSError):  # it has ended: no answer will come
                self._pipes[part].send(questions[part])
        answers = []
        for part in asked:
            try:
                failure, answer = self._pipes[part].recv()
            except (EOFError, OSError):
                raise EnvironmentFailure(self._ended(part)) from None
            if failure:
                raise EnvironmentFailure(failure)
            answers.append(answer)
        return answers

    def _ended(self, part: int) -> str:
        process = self._processes[part]
        process.join(_CLOSE_S)
        code = process.exitcode
        how = "" if code is None else f" with signal {-code}" if code < 0 else f" with exit code {code}"
        count = self._edges[part + 1] - self._edges[part]
        return (
            f"a process that stepped {count} environments of {self._name} has ended{how}; if the machine is short of "
            "memory lower rollout.cores: continue with --resume --set rollout.cores=1"
        )

    def close(self) -> None:
        """End the processes: those that do not within seconds, by force."""
        for pipe in self._pipes:
            with suppress(OSError):
                pipe.send(None)
        deadline_s = time.monotonic() + _CLOSE_S
        for process in self._processes:
            process.join(max(0.0, deadline_s - time.monotonic()))
            if process.is_alive():
                process.kill()
                process.join()
        for pipe in self._pipes:  # not before: another thread may wait for an answer
            pipe.close()


class SplitEmulator(SplitSimulator):
    """A `Simulator` of what is also an `Emulator`."""

    def __init__(self, build: Build, task: Task, num_envs: int, cores: int) -> None:
        super().__init__(build, task, num_envs, cores)
        self._marking, self._marked = False, True  # what is seen first is kept
        self._games = np.empty((0, 2))

    def starts(self) -> None:
        """Nothing is played again from its start."""

    def step(self, actions: Array) -> Array:
        self._marked, self._marking = self._marking, False
        games = self._step(actions, self._marked)
        for first, some in zip(self._edges, games, strict=False):
            some[:, 0] += first
        self._games = np.concatenate(games)
        return self._rewards.copy()

    def mark(self) -> None:
        self._marking = True

    def kept(self) -> Array | None:
        return np.concatenate(self._ask_all("kept")) if self._marked else None

    def begun(self) -> Array:
        return self._begun.copy()

    def games(self) -> Array:
        return self._games


class _Part:
    """A process's own worlds, and the places that they have in the arrays of all."""

    def __init__(self, simulator: Simulator, shared: _Shared, first: int, end: int) -> None:
        self._simulator = simulator
        self._emulator = simulator if isinstance(simulator, Emulator) else None
        self._shared = {
            name: shared.array(name)[first:end] for name in ("actions", "observations", "rewards", "starts", "begun")
        }

    def reset(self, ids: Array) -> None:
        self._simulator.reset(ids)
        self._show()

    def step(self, mark: bool) -> Array | None:
        """The games that ended, of an emulator."""
        if mark:
            assert self._emulator is not None
            self._emulator.mark()
        self._shared["rewards"][:] = self._simulator.step(self._shared["actions"])
        self._show()
        return None if self._emulator is None else self._emulator.games()

    def _show(self) -> None:
        self._shared["observations"][:] = self._simulator.observe()
        if (starts := self._simulator.starts()) is not None:
            self._shared["starts"][:] = starts
        if self._emulator is not None:
            self._shared["begun"][:] = self._emulator.begun()

    def kept(self) -> Array | None:
        assert self._emulator is not None
        return self._emulator.kept()

    def close(self) -> None:
        self._simulator.close()


def _serve(pipe: Connection, build: Build, shared: _Shared, first: int, end: int) -> None:
    """Answer until nobody asks any more. What cannot be built is told to whoever asks first."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    part: _Part | None = None
    with suppress(EOFError, OSError):
        while (question := pipe.recv()) is not None:
            name, *arguments = question
            try:
                part = part or _Part(build(first, end - first), shared, first, end)
                reply = "", getattr(part, name)(*arguments)
            except EnvironmentFailure as error:
                reply = str(error), None
            except Exception as error:
                reply = f"a process that steps environments failed: {type(error).__name__}: {error}", None
            pipe.send(reply)
    if part is not None:
        part.close()
