"""How steps that cannot be drawn from a state are come to again, to be shown: Origins and Keyframes of a rollout's, an
Origin or a Keyframe of a clip's.

An environment is started again with the same seed and does the same actions; an emulator goes on from a state that was
kept before. Axes as in `actors.trajectory`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from actors.records import require

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Origins:
    """How an environment that has no state to be drawn from comes to each step of a rollout again: a new one is started
    with the same seed and does the same actions.

    seeds    [T, B] int64, of the environment's latest start, whether its own end or the clock's had been before it
    ages     [T, B] int64, steps done since that start
    earlier  [P, B, *A], as executed, in policy units: the P steps before the rollout, as far back as ages[0] reach
    """

    seeds: Array
    ages: Array
    earlier: Array

    def __post_init__(self) -> None:
        require(self.seeds.ndim == 2, f"seeds must be [T, B], got {self.seeds.shape}")
        steps, envs = self.seeds.shape
        require(self.ages.shape == (steps, envs), f"ages must be [T={steps}, B={envs}], got {self.ages.shape}")
        require(
            self.earlier.ndim >= 2 and self.earlier.shape[1] == envs,
            f"earlier must be [P, B={envs}, ...], got {self.earlier.shape}",
        )
        reach = len(self.earlier) + np.arange(steps)[:, None]
        require(
            bool(np.all((self.ages >= 0) & (self.ages <= reach))),
            "ages must be whole steps back to a start within `earlier` and the rollout",
        )


@dataclass(frozen=True, eq=False)
class Keyframes:
    """How an emulator comes to each step of a rollout again: it goes on from a state that was kept before.

    rows    [J] int64, ascending, the steps of the rollout before which all environments' states were kept
    states  [J, B, S] uint8, see `actors.atari.Console`
    begun   [T, B] int64, what a game was started with just before this step's observation; -1 where it was not
    """

    rows: Array
    states: Array
    begun: Array

    def __post_init__(self) -> None:
        require(self.begun.ndim == 2, f"begun must be [T, B], got {self.begun.shape}")
        require(
            self.states.ndim == 3
            and self.states.shape[:2] == (len(self.rows), self.begun.shape[1])
            and self.states.dtype == np.uint8,
            f"states must be [J={len(self.rows)}, B={self.begun.shape[1]}, S] uint8, got {self.states.shape}",
        )
        require(
            len(self.rows) > 0 and self.rows[0] == 0 and bool(np.all(np.diff(self.rows) > 0)),
            "rows must begin with 0 and ascend: what comes before the first kept state cannot be played again",
        )


@dataclass(frozen=True, eq=False)
class Origin:
    """How an environment comes to a clip's first step again, and what it was started with where it ended by itself
    within the clip.

    seeds  [R] int64, R >= 1: of the latest start before the clip, then of each start within it, in order
    lead   [M, *A], as executed, in policy units: the steps between that first start and the clip
    """

    seeds: Array
    lead: Array

    def __post_init__(self) -> None:
        require(
            self.seeds.ndim == 1 and len(self.seeds) > 0 and self.seeds.dtype == np.int64,
            f"seeds must be [R] int64 with R >= 1, got {self.seeds.shape} {self.seeds.dtype}",
        )


@dataclass(frozen=True, eq=False)
class Keyframe:
    """How an emulator comes to a clip's first step again, and what games were started with meanwhile.

    state  [S] uint8, kept at most some steps before the clip
    lead   [M] int64, the actions between that state and the clip
    begun  [M + L] int64, what a game was started with just before the observation of each step; -1 where it was not
    """

    state: Array
    lead: Array
    begun: Array

    def __post_init__(self) -> None:
        require(
            self.state.ndim == 1 and self.state.dtype == np.uint8,
            f"a kept state must be [S] uint8, got {self.state.shape} {self.state.dtype}",
        )
        require(
            self.lead.ndim == 1 and self.begun.ndim == 1 and len(self.begun) > len(self.lead),
            f"begun must be [M + L] beside lead [M], got {self.begun.shape} and {self.lead.shape}",
        )
