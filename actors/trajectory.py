"""The records that travel: Rollout, Hidden, Origins, Segment, Origin, Clip.

Each is frozen, states the shapes of its arrays and refuses wrong ones, so that what is downstream
need not check again. Axes are always in the order T time, B environments; a clip has L steps.

Actions are in *policy units*: for a Box action space every bounded coordinate is mapped to [-1, 1]
(`spaces.ActionSpec`), so that the policy, the reward model and the clips agree on one scale.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

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
                  a terminated or truncated step it is the first observation of the next episode
    actions       [T, B, *A] float32 (Box, as sampled, in policy units) or int64 (Discrete)
    log_probs     [T, B] float32, log density of `actions` under the policy that acted
    terminated    [T, B] bool, the step ended the task itself: nothing follows
    truncated     [T, B] bool, the step was cut by the clock: more would have followed, so bootstrap
    ends          [K, 2] int64, (t, b) of every terminated or truncated step, in that order
    final_observations [K, *O] float32, what the environment showed after each of those steps
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

    def __post_init__(self) -> None:
        _require(self.log_probs.ndim == 2, f"log_probs must be [T, B], got {self.log_probs.shape}")
        steps, envs = self.log_probs.shape
        _require(
            self.observations.shape[:2] == (steps + 1, envs),
            f"observations must be [T+1={steps + 1}, B={envs}, ...], got {self.observations.shape}",
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
class Hidden:
    """What the agent must not see, kept beside its Rollout: for synthetic labelers, for the true-reward
    baseline, for charts and for drawing.

    true_rewards  [T, B] float32, the environment's own reward
    states        [T, B, S] float32, what redraws each step (MuJoCo: qpos then qvel); S = 0 where a task
                  cannot be redrawn from a state
    origins       of every step, where it is drawn by being played again; else None
    """

    true_rewards: Array
    states: Array
    origins: Origins | None = None

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


@dataclass(frozen=True, eq=False)
class Segment:
    """L consecutive steps of one episode: what the reward model is shown.

    observations  [L, *O] float32, raw
    actions       [L, *A] float32 (Box: as executed, clipped to [-1, 1] where bounded) or int64 (Discrete)
    """

    observations: Array
    actions: Array

    def __post_init__(self) -> None:
        _require(len(self.observations) > 0, "a segment needs at least one step")
        _require(
            len(self.observations) == len(self.actions),
            f"a segment needs as many actions as observations, got {len(self.actions)} and {len(self.observations)}",
        )

    def __len__(self) -> int:
        return len(self.actions)


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
class Clip:
    """A Segment plus what is needed to show it, plus its hidden return.

    clip_id        hex digest of the contents: the same steps always have the same id
    states         [L, S] float32, see `Hidden.states`
    true_return    sum of the environment's own reward over the clip; for synthetic labelers and charts
    policy_version the policy that acted
    origin         how it is played again, where there is no state to draw it from; else None
    """

    clip_id: str
    segment: Segment
    states: Array
    true_return: float
    policy_version: int
    origin: Origin | None = None

    def __post_init__(self) -> None:
        _require(
            self.states.ndim == 2 and len(self.states) == len(self.segment),
            f"states must be [L={len(self.segment)}, S], got {self.states.shape}",
        )
        _require(
            self.origin is None or self.origin.lead.shape[1:] == self.segment.actions.shape[1:],
            f"lead must be [M, ...] of actions like {self.segment.actions.shape[1:]}",
        )
