"""Atari 2600 games, seen and stepped as the paper did: four frames to a step, the brighter of the last two, in grey, on
84 x 84; up to 30 frames of nothing after each start; and no ends, no lives and no score in sight.

`Console` is an emulator, `AtariSimulator` B of them, a `Simulator` of `actors.simulators`; `replayed` plays a clip
again, for people, in colour. How a screen becomes what is seen: `actors.sights`.

A game is started again behind the agent's back from a state kept at the beginning, not by the emulator's own reset:
that costs a second of play, and draws on a random state that a replay would have to know.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import ale_py
import numpy as np
from ale_py import roms

from actors.atari_games import Box, ScriptedJudge
from actors.failures import UsageError
from actors.origins import Keyframe
from actors.sights import Sights

Array = np.ndarray

STACK = 4
FRAME_SKIP = 4
MAX_NOOPS = 30
_SEEN_FRAMES = 2  # of which the brighter is seen: some games draw their objects in every other frame only


class Console:
    """One emulator. `screens` [2, H, W] grey are the last two frames of the latest step; `colours` [2, H, W, 3] the
    same for people, if it was made to keep them.

    keep: whether to keep the moment that comes next, as `kept`: the emulator's state two frames before, and the action
    under way as one more byte. Whoever goes on from there sees the same two frames."""

    def __init__(self, rom: Path, colour: bool = False) -> None:
        # Without sticky actions: the paper's emulator had none, and they would have to be played again, too.
        ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
        self._ale = ale_py.ALEInterface()
        self._ale.setInt("random_seed", 1)
        self._ale.setFloat("repeat_action_probability", 0.0)
        self._ale.loadROM(rom)
        self._actions = self._ale.getMinimalActionSet()
        self._first = self._ale.cloneState()
        self._ale.act(self._actions[0])  # an emulator that never ran a frame draws the first one otherwise
        height, width = self._ale.getScreenDims()
        self.screens = np.empty((_SEEN_FRAMES, height, width), np.uint8)
        self.colours = np.empty((_SEEN_FRAMES, height, width, 3), np.uint8) if colour else None
        self._state_bytes = len(self._first.serialize())
        self.keep = False
        self.kept = np.empty(self._state_bytes + 1, np.uint8)

    @property
    def num_actions(self) -> int:
        return len(self._actions)

    def memory(self) -> Array:
        """The console's, [128] uint8."""
        return self._ale.getRAM()

    def begin(self, noops: int) -> None:
        """Start the game, and let `noops` frames pass."""
        self._ale.restoreState(self._first)
        for _ in range(noops - _SEEN_FRAMES):
            self._ale.act(self._actions[0])
        self._see(0)

    def step(self, action: int) -> tuple[float, int, bool]:
        """One step of four frames: the score it brought, lives lost, and whether the game is over."""
        lives = self._ale.lives()
        native = self._actions[action]
        reward = 0
        for _ in range(FRAME_SKIP - _SEEN_FRAMES):
            reward += self._ale.act(native)
        reward += self._see(action)
        over = self._ale.game_over()
        return float(reward), max(0, lives - self._ale.lives()) or int(over), over

    def resume(self, kept: Array) -> None:
        """Go on from a moment that was kept by a console of the same game. Raises ValueError for other bytes."""
        if kept.shape != (self._state_bytes + 1,) or kept[-1] >= len(self._actions):
            raise ValueError(f"these {kept.size} bytes are not a state of this game")
        self._ale.restoreState(ale_py.ALEState(kept[:-1].tobytes()))
        self._see(int(kept[-1]))

    def _see(self, action: int) -> int:
        """Two more frames of an action, which are seen."""
        if self.keep:
            self.kept[:-1] = np.frombuffer(self._ale.cloneState().serialize(), np.uint8)
            self.kept[-1] = action
        reward = 0
        for frame, screen in enumerate(self.screens):
            reward += self._ale.act(self._actions[action])
            self._ale.getScreenGrayscale(screen)
            if self.colours is not None:
                self._ale.getScreenRGB(self.colours[frame])
        return reward


class AtariSimulator:
    """B consoles of one game on one thread; an `Emulator`, too.

    true rewards  points scored, or what `scripted_judge` says in their place, less `end_penalty` for each life that is
                  lost, or for the end of a game that has no lives
    games         [G, 2] float64 of the games that ended in the latest step: which world, and the sum of its true
                  rewards without penalty
    """

    def __init__(
        self,
        rom: Path,
        boxes: tuple[Box, ...],
        end_penalty: float,
        num_envs: int,
        seed: int,
        colour: bool = False,
        scripted_judge: ScriptedJudge | None = None,
        first: int = 0,
    ) -> None:
        """`first`: the number of the first of these worlds among all of the seed."""
        self.num_envs = num_envs
        self._consoles = [Console(rom, colour) for _ in range(num_envs)]
        self._penalty, self._scripted_judge = end_penalty, scripted_judge
        self._random = [np.random.default_rng((seed, first + index)) for index in range(num_envs)]
        self._sights = Sights(self._consoles[0].screens.shape[1:], boxes)
        self._sums, self._points, self._scored = np.zeros((3, num_envs))
        self._begun = np.full(num_envs, -1, np.int64)
        self._finished: list[tuple[int, float]] = []
        self._marking, self._marked = False, True  # what is seen first is kept
        self._keep(True)

    def reset(self, ids: Array) -> None:
        for index in ids:
            self._begin(int(index))

    def _begin(self, index: int) -> None:
        noops = int(self._random[index].integers(_SEEN_FRAMES, MAX_NOOPS + 1))
        self._consoles[index].begin(noops)
        self._begun[index] = noops
        self._sums[index] = 0.0

    def observe(self) -> Array:
        """[B, 84, 84] uint8."""
        return np.stack([self._sights.of(console.screens) for console in self._consoles])

    def states(self) -> Array:
        return np.empty((self.num_envs, 0), np.float32)

    def starts(self) -> None:
        """Nothing is played again from its start: see `kept`."""

    def mark(self) -> None:
        """Keep the moment to which the next step leads."""
        self._marking = True

    def _keep(self, keep: bool) -> None:
        for console in self._consoles:
            console.keep = keep
        self._marked = keep

    def kept(self) -> Array | None:
        """[B, S] uint8, see `Console`, if this moment was to be kept."""
        return np.stack([console.kept for console in self._consoles]) if self._marked else None

    def begun(self) -> Array:
        """[B] int64, the frames of nothing after the start that led to this moment; -1 where it was a step."""
        return self._begun.copy()

    def points(self) -> Array:
        """[B], true rewards of the latest step without penalty."""
        return self._points.copy()

    def scored(self) -> Array:
        """[B], the game's own points of the latest step."""
        return self._scored.copy()

    def memories(self) -> Array:
        """[B, 128] uint8, of all consoles."""
        return np.stack([console.memory() for console in self._consoles])

    def picture(self, index: int) -> Array:
        """What a person sees of one world now [H, W, 3] uint8, if it was made in colour."""
        colours = self._consoles[index].colours
        assert colours is not None
        return colours.max(0)

    def games(self) -> Array:
        return np.array(self._finished, np.float64).reshape(-1, 2)

    def step(self, actions: Array) -> Array:
        rewards = np.empty(self.num_envs)
        self._keep(self._marking)
        self._marking = False
        self._begun[:] = -1
        self._finished = []
        for index, (console, action) in enumerate(zip(self._consoles, actions.tolist(), strict=True)):
            points, losses, over = self._played(index, console, action)
            self._points[index] = points
            self._sums[index] += points
            rewards[index] = points - self._penalty * losses
            if over:
                self._finished.append((index, self._sums[index]))
                self._begin(index)
        return rewards

    def _played(self, index: int, console: Console, action: int) -> tuple[float, int, bool]:
        """`Console.step`, but with what the step is worth to a labeler."""
        if self._scripted_judge is None:
            step = console.step(action)
            self._scored[index] = step[0]
            return step
        before = console.memory()
        self._scored[index], losses, over = console.step(action)
        return self._scripted_judge(before, console.memory()), losses, over

    def close(self) -> None:
        """Nothing to release."""


class UnknownROMError(UsageError, ValueError):
    """A game of which ale-py has no ROM."""


def rom_path(name: str) -> Path:
    """The ROM of that name that ale-py ships. Raises UnknownROMError where there is none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ours says more
        path = roms.get_rom_path(name)
    if path is None:
        raise UnknownROMError(f"ale-py has no ROM called {name}; `ale_py.roms.get_all_rom_ids()` lists those it has")
    return Path(path)


def replayed(rom: Path, boxes: tuple[Box, ...], keyframe: Keyframe, actions: Array) -> Iterator[tuple[Array, Array]]:
    """What was seen before each of a clip's actions [L]: as the agent saw it [84, 84], and the whole picture in colour
    [H, W, 3] uint8, its pixels the brighter of the same two frames. Raises ValueError for a state of another game."""
    console = Console(rom, colour=True)
    sights = Sights(console.screens.shape[1:], boxes)
    console.resume(keyframe.state)
    everything = np.concatenate((keyframe.lead, actions))
    for step, action in enumerate(everything.tolist()):
        if step and keyframe.begun[step] >= 0:
            console.begin(int(keyframe.begun[step]))
        if step >= len(keyframe.lead):
            assert console.colours is not None
            yield sights.of(console.screens), console.colours.max(0)
        console.step(action)
