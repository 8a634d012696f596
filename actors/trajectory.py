"""The records that travel: Rollout, Hidden, Segment, Clip; how they are played again is in `actors.origins`.

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
from actors.origins import Keyframe, Keyframes, Origin, Origins
from actors.records import require

Array = np.ndarray


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
        require(self.log_probs.ndim == 2, f"log_probs must be [T, B], got {self.log_probs.shape}")
        steps, envs = self.log_probs.shape
        pictures = self.observations.ndim == 4 and self.observations.dtype == np.uint8
        require(
            self.observations.shape[1:2] == (envs,) and (self.depth == 1 or (pictures and self.depth > 1)),
            f"observations must be [T+1={steps + 1}, B={envs}, ...], or pictures [K-1+T+1, B={envs}, H, W] uint8, got "
            f"{self.observations.shape} {self.observations.dtype}",
        )
        for name in ("actions", "terminated", "truncated"):
            shape = getattr(self, name).shape
            require(shape[:2] == (steps, envs), f"{name} must be [T={steps}, B={envs}, ...], got {shape}")
        require(self.ends.ndim == 2 and self.ends.shape[1] == 2, f"ends must be [K, 2], got {self.ends.shape}")
        require(
            self.final_observations.shape == (len(self.ends), *self.observations.shape[2:]),
            f"final_observations must be [K={len(self.ends)}, ...], got {self.final_observations.shape}",
        )
        over = np.argwhere(self.terminated | self.truncated)
        require(bool(np.array_equal(over, self.ends)), "ends must list every terminated or truncated step")

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
        require(self.true_rewards.ndim == 2, f"true_rewards must be [T, B], got {self.true_rewards.shape}")
        require(
            self.states.ndim == 3 and self.states.shape[:2] == self.true_rewards.shape,
            f"states must be [T, B, S] beside true_rewards {self.true_rewards.shape}, got {self.states.shape}",
        )
        require(
            self.origins is None or self.origins.seeds.shape == self.true_rewards.shape,
            f"origins must be those of true_rewards {self.true_rewards.shape}",
        )
        require(
            self.keyframes is None or self.keyframes.begun.shape == self.true_rewards.shape,
            f"keyframes must be those of true_rewards {self.true_rewards.shape}",
        )
        require(
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
        require(len(self.observations) > 0, "a segment needs at least one step")
        pictures = self.observations.ndim == 3 and self.observations.dtype == np.uint8
        require(
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
    def is_finite(self) -> bool:
        """Whether all values are. Refused only by who cannot use others: rollouts hold none, files may."""
        return bool(np.isfinite(self.observations).all() and np.isfinite(self.actions).all())

    @property
    def stacks(self) -> Array:
        """[L, *O], a view."""
        return stacked(self.observations, self.depth)


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
        require(
            self.states.ndim == 2 and len(self.states) == len(self.segment),
            f"states must be [L={len(self.segment)}, S], got {self.states.shape}",
        )
        require(
            self.origin is None or self.origin.lead.shape[1:] == self.segment.actions.shape[1:],
            f"lead must be [M, ...] of actions like {self.segment.actions.shape[1:]}",
        )
        require(
            not isinstance(self.origin, Keyframe)
            or len(self.origin.begun) == len(self.origin.lead) + len(self.segment),
            "a keyframe's begun must reach to the clip's end",
        )
