"""The records that travel: Rollout, Hidden, Segment, Clip.

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
class Hidden:
    """What the agent must not see, kept beside its Rollout: for synthetic labelers, for the true-reward
    baseline, for charts and for drawing.

    true_rewards  [T, B] float32, the environment's own reward
    states        [T, B, S] float32, what redraws each step (MuJoCo: qpos then qvel); S = 0 where a task
                  cannot be redrawn from a state
    """

    true_rewards: Array
    states: Array

    def __post_init__(self) -> None:
        _require(self.true_rewards.ndim == 2, f"true_rewards must be [T, B], got {self.true_rewards.shape}")
        _require(
            self.states.ndim == 3 and self.states.shape[:2] == self.true_rewards.shape,
            f"states must be [T, B, S] beside true_rewards {self.true_rewards.shape}, got {self.states.shape}",
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
class Clip:
    """A Segment plus what is needed to show it, plus its hidden return.

    clip_id        hex digest of the contents: the same steps always have the same id
    states         [L, S] float32, see `Hidden.states`
    true_return    sum of the environment's own reward over the clip; for synthetic labelers and charts
    policy_version the policy that acted
    """

    clip_id: str
    segment: Segment
    states: Array
    true_return: float
    policy_version: int

    def __post_init__(self) -> None:
        _require(
            self.states.ndim == 2 and len(self.states) == len(self.segment),
            f"states must be [L={len(self.segment)}, S], got {self.states.shape}",
        )
