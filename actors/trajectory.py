"""The records that travel: Rollout, Hidden, Origins, Keyframes, Segment, Origin, Keyframe, Clip.

Each is frozen, states the shapes of its arrays and refuses wrong ones, so that what is downstream
need not check again. Axes are always in the order T time, B environments; a clip has L steps.

Actions are in *policy units*: for a Box action space every bounded coordinate is mapped to [-1, 1]
(`spaces.ActionSpec`), so that the policy, the reward model and the clips agree on one scale.

Stacks of K pictures are kept as single ones (`frames.py`): a picture a step, and the K - 1 before the first. `stacks`
are the observations that they stand for.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from actors.frames import stacked

Array = np.ndarray


class TrajectoryError(ValueError):
    """A record was built from arrays that do not fit together."""


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise TrajectoryError(message)


@dataclass(frozen=True, eq=False)
class Rollout:
    """T steps of B environments, acted by one policy version. It has no reward field: the learner
    must ask a reward model.

    observations  [T+1, B, *O] float32, raw (not normalised); row t+1 follows row t, except that after
                  a terminated or truncated step it is the first observation of the next episode;
                  or [K-1+T+1, B, H, W] uint8, pictures of which K are an observation
    actions       [T, B, *A] float32 (Box, as sampled, in policy units) or int64 (Discrete)
    log_probs     [T, B] float32, log density of `actions` under the policy that acted
    terminated    [T, B] bool, the step ended the task itself: nothing follows
    truncated     [T, B] bool, the step was cut by the clock: more would have followed, so bootstrap
    ends          [K, 2] int64, (t, b) of every terminated or truncated step, in that order
    final_observations [K, *O] float32, or pictures, what the environment showed after each of those steps
    first_step    steps that this worker's environments had done before the rollout
    """

    observations: Array
    actions: Array
    log_probs: Array
    terminated: Array
    truncated: Array
    ends: Array
    final_observations: Array
    policy_version: int
    worker: int
    first_step: int = 0

    def __post_init__(self) -> None:
        _require(self.log_probs.ndim == 2, f"log_probs must be [T, B], got {self.log_probs.shape}")
        steps, envs = self.log_probs.shape
        pictures = self.observations.ndim == 4 and self.observations.dtype == np.uint8
        _require(
            self.observations.shape[1:2] == (envs,) and (self.depth == 1 or (pictures and self.depth > 1)),
            f"observations must be [T+1={steps + 1}, B={envs}, ...], or pictures [K-1+T+1, B={envs}, H, W] uint8, got "
            f"{self.observations.shape} {self.observations.dtype}",
        )
        for name in ("actions", "terminated", "truncated"):
            shape = getattr(self, name).shape
            _require(shape[:2] == (steps, envs), f"{name} must be [T={steps}, B={envs}, ...], got {shape}")
        _require(self.ends.ndim == 2 and self.ends.shape[1] == 2, f"ends must be [K, 2], got {self.ends.shape}")
        _require(
            self.final_observations.shape == (len(self.ends), *self.observations.shape[2:]),
            f"final_observations must be [K={len(self.ends)}, ...], got {self.final_observations.shape}",
        )
        over = np.argwhere(self.terminated | self.truncated)
        _require(bool(np.array_equal(over, self.ends)), "ends must list every terminated or truncated step")

    @property
    def num_steps(self) -> int:
        """Agent steps in this block, T x B."""
        return self.log_probs.size

    @property
    def depth(self) -> int:
        """K, pictures in an observation; 1 where observations are kept whole."""
        return len(self.observations) - len(self.log_probs)

    @property
    def stacks(self) -> Array:
        """[T+1, B, *O], a view."""
        return stacked(self.observations, self.depth)

    @property
    def final_stacks(self) -> Array:
        """[K, *O], `final_observations` as the agent would have seen them."""
        if self.depth == 1:
            return self.final_observations
        before = [self.observations[t + 1 : t + self.depth, b] for t, b in self.ends]
        shape = (0, self.depth, *self.observations.shape[2:])
        ended = [np.concatenate((b, f[None])) for b, f in zip(before, self.final_observations, strict=True)]
        return np.stack(ended) if ended else np.empty(shape, np.uint8)


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
        _require(self.seeds.ndim == 2, f"seeds must be [T, B], got {self.seeds.shape}")
        steps, envs = self.seeds.shape
        _require(self.ages.shape == (steps, envs), f"ages must be [T={steps}, B={envs}], got {self.ages.shape}")
        _require(
            self.earlier.ndim >= 2 and self.earlier.shape[1] == envs,
            f"earlier must be [P, B={envs}, ...], got {self.earlier.shape}",
        )
        reach = len(self.earlier) + np.arange(steps)[:, None]
        _require(
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
        _require(self.begun.ndim == 2, f"begun must be [T, B], got {self.begun.shape}")
        _require(
            self.states.ndim == 3
            and self.states.shape[:2] == (len(self.rows), self.begun.shape[1])
            and self.states.dtype == np.uint8,
            f"states must be [J={len(self.rows)}, B={self.begun.shape[1]}, S] uint8, got {self.states.shape}",
        )
        _require(
            len(self.rows) > 0 and self.rows[0] == 0 and bool(np.all(np.diff(self.rows) > 0)),
            "rows must begin with 0 and ascend: what comes before the first kept state cannot be played again",
        )


@dataclass(frozen=True, eq=False)
class Hidden:
    """What the agent must not see, kept beside its Rollout: for synthetic labelers, for the true-reward
    baseline, for charts and for drawing.

    true_rewards  [T, B] float32, the environment's own reward
    states        [T, B, S] float32, what redraws each step (MuJoCo: qpos then qvel); S = 0 where a task
                  cannot be redrawn from a state
    origins       of every step, where it is drawn by being played again; else None
    keyframes     the same for an emulator; else None
    games         [G, 3] float64, where a game ended that the agent takes for one long episode: step t, environment b,
                  and what it scored; None where episodes are what they seem
    """

    true_rewards: Array
    states: Array
    origins: Origins | None = None
    keyframes: Keyframes | None = None
    games: Array | None = None

    def __post_init__(self) -> None:
        _require(self.true_rewards.ndim == 2, f"true_rewards must be [T, B], got {self.true_rewards.shape}")
        _require(
            self.states.ndim == 3 and self.states.shape[:2] == self.true_rewards.shape,
            f"states must be [T, B, S] beside true_rewards {self.true_rewards.shape}, got {self.states.shape}",
        )
        _require(
            self.origins is None or self.origins.seeds.shape == self.true_rewards.shape,
            f"origins must be those of true_rewards {self.true_rewards.shape}",
        )
        _require(
            self.keyframes is None or self.keyframes.begun.shape == self.true_rewards.shape,
            f"keyframes must be those of true_rewards {self.true_rewards.shape}",
        )
        _require(
            self.games is None or (self.games.ndim == 2 and self.games.shape[1] == 3),
            "games must be [G, 3]: step, environment, score",
        )


@dataclass(frozen=True, eq=False)
class Segment:
    """L consecutive steps of one episode: what the reward model is shown.

    observations  [L, *O] float32, raw; or [K-1+L, H, W] uint8, pictures of which K are an observation
    actions       [L, *A] float32 (Box: as executed, clipped to [-1, 1] where bounded) or int64 (Discrete)
    """

    observations: Array
    actions: Array

    def __post_init__(self) -> None:
        _require(len(self.observations) > 0, "a segment needs at least one step")
        pictures = self.observations.ndim == 3 and self.observations.dtype == np.uint8
        _require(
            len(self.actions) > 0 and (self.depth == 1 or (pictures and self.depth > 1)),
            f"a segment needs as many actions as observations, got {len(self.actions)} and {len(self.observations)}",
        )

    def __len__(self) -> int:
        return len(self.actions)

    @property
    def depth(self) -> int:
        """K, pictures in an observation; 1 where observations are kept whole."""
        return len(self.observations) - len(self.actions) + 1

    @property
    def stacks(self) -> Array:
        """[L, *O], a view."""
        return stacked(self.observations, self.depth)


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
        _require(
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
        _require(
            self.state.ndim == 1 and self.state.dtype == np.uint8,
            f"a kept state must be [S] uint8, got {self.state.shape} {self.state.dtype}",
        )
        _require(
            self.lead.ndim == 1 and self.begun.ndim == 1 and len(self.begun) > len(self.lead),
            f"begun must be [M + L] beside lead [M], got {self.begun.shape} and {self.lead.shape}",
        )


@dataclass(frozen=True, eq=False)
class Clip:
    """A Segment plus what is needed to show it, plus its hidden return.

    clip_id        hex digest of the contents: the same steps always have the same id
    states         [L, S] float32, see `Hidden.states`
    true_return    sum of the environment's own reward over the clip; for synthetic labelers and charts
    policy_version the policy that acted
    origin         how it is played again, where there is no state to draw it from: from an environment's start, or
                   from an emulator's kept state; else None
    late_return    the same sum with each reward discounted by `clips.SHORT_SIGHT` for every step of the clip after it:
                   what a short-sighted labeler perceives. None in clips of versions that did not keep it
    """

    clip_id: str
    segment: Segment
    states: Array
    true_return: float
    policy_version: int
    origin: Origin | Keyframe | None = None
    late_return: float | None = None

    def __post_init__(self) -> None:
        _require(
            self.states.ndim == 2 and len(self.states) == len(self.segment),
            f"states must be [L={len(self.segment)}, S], got {self.states.shape}",
        )
        _require(
            self.origin is None or self.origin.lead.shape[1:] == self.segment.actions.shape[1:],
            f"lead must be [M, ...] of actions like {self.segment.actions.shape[1:]}",
        )
        _require(
            not isinstance(self.origin, Keyframe)
            or len(self.origin.begun) == len(self.origin.lead) + len(self.segment),
            "a keyframe's begun must reach to the clip's end",
        )
