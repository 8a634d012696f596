"""Learner: rollouts and their predicted rewards in, the next policy version out.

    learner = Learner(LearnerConfig(), policy, PPO(PPOConfig(), policy, seed))
    metrics = learner.step(rollouts, rewards, progress)
    weights = learner.weights()

It is handed rewards by whoever composes the run; a Rollout has none that it could read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from actors.devices import to_device
from actors.failures import Failure
from actors.limits import within
from actors.moments import RunningMoments
from actors.policy import ActorCritic
from actors.trajectory import Rollout
from actors.weights import PolicyWeights
from learners.advantages import ValueScale, gae
from learners.algorithm import Algorithm, Batch
from learners.judging import judge, judge_pictures

Array = np.ndarray
_LEAST_STD = 1e-4  # of an observation's coordinate: a constant one stays a constant


@dataclass(frozen=True)
class LearnerConfig:
    """gamma       discount per agent step
    gae_lambda  lambda of the generalised advantage estimates
    precision   "float32" or "bfloat16": what the policy's convolutions multiply in while it learns; "bfloat16" is for
                GPUs. Acting is in float32 either way
    """

    gamma: float = 0.99
    gae_lambda: float = 0.95
    precision: Literal["float32", "bfloat16"] = "float32"

    def __post_init__(self) -> None:
        within(self, gamma="(0, 1]", gae_lambda="[0, 1]")


class LearnerFailure(Failure, RuntimeError):
    """Learning cannot go on: a reward or a loss is not a number."""


class Learner:
    """Optimises one policy. Holds its normalisation statistics and its version."""

    def __init__(self, config: LearnerConfig, policy: ActorCritic, algorithm: Algorithm) -> None:
        self._config, self.policy, self._algorithm = config, policy, algorithm
        self._device = next(policy.parameters()).device
        policy.precision = getattr(torch, config.precision)
        self._moments = RunningMoments.of_shape(policy.observation_mean.numel())
        self._scale = ValueScale()
        self.version = 0

    def weights(self) -> PolicyWeights:
        """The present policy, ready to travel."""
        return self.policy.export(self.version)

    def observe(self, rollouts: Sequence[Rollout]) -> None:
        """Let the observation statistics take in rollouts; the policy normalises with them from now on. Pictures have
        none."""
        if self.policy.sees_pictures:
            return
        for rollout in rollouts:
            self._moments.update(rollout.observations[:-1].reshape(rollout.num_steps, -1))
        with torch.no_grad():
            self.policy.observation_mean.copy_(torch.from_numpy(self._moments.mean))
            self.policy.observation_std.copy_(torch.from_numpy(self._moments.std.clip(min=_LEAST_STD)))

    def step(self, rollouts: Sequence[Rollout], rewards: Sequence[Tensor], progress: float) -> dict[str, float]:
        """One update from rollouts and their rewards [T, B] each, wherever these are. A GPU is waited for once, for the
        metrics. Raises LearnerFailure on what is not a number, and is then not to be used any more."""
        lags = [self.version - rollout.policy_version for rollout in rollouts]
        metrics = self._algorithm.update(self._batch(rollouts, rewards), progress)
        if not np.isfinite(list(metrics.values())).all():
            if not all(block.isfinite().all() for block in rewards):
                raise LearnerFailure(
                    "a predicted reward is not a finite number; resume from the last checkpoint with a lower "
                    "reward learning rate (`--set reward.learning_rate=1e-4`)"
                )
            raise LearnerFailure(
                f"the policy update diverged ({metrics}); resume from the last checkpoint with a lower learning rate"
            )
        self.observe(rollouts)
        self.version += 1
        return {**metrics, "policy_lag": float(max(lags)), "policy_version": float(self.version)}

    @torch.no_grad()
    def _batch(self, rollouts: Sequence[Rollout], rewards: Sequence[Tensor]) -> Batch:
        if self.policy.sees_pictures:
            judged = judge_pictures(self.policy, rollouts, self._algorithm.looks_once)
        else:
            judged = judge(self.policy, rollouts)
        terms = [self._terms(*each) for each in zip(rollouts, rewards, judged.values, strict=True)]
        values = torch.cat([each.values.flatten() for each in terms])
        advantages = torch.cat([each.float().flatten() for each in self._advantages(terms)])
        targets = advantages + values
        self._rescale(targets)
        scale = self._scale

        def rows(column: Array) -> Tensor:
            return to_device(column, self._device)

        return Batch(
            observations=judged.seen,
            actions=rows(np.concatenate([_flat(rollout.actions) for rollout in rollouts])),
            log_probs=rows(np.concatenate([_flat(rollout.log_probs) for rollout in rollouts])),
            advantages=advantages,
            targets=(targets - scale.mean) / scale.std,
            values=(values - scale.mean) / scale.std,
            features=judged.features,
        )

    def _advantages(self, terms: Sequence[_Terms]) -> list[Tensor]:
        """[T, B] of each rollout. Those of as many steps go side by side: a GPU is given 2 T short tasks, however wide
        they are, and each takes it longer to begin than to do."""
        by_steps: dict[int, list[int]] = {}
        for index, each in enumerate(terms):
            by_steps.setdefault(len(each.rewards), []).append(index)
        found: dict[int, Tensor] = {}
        for members in by_steps.values():
            columns = zip(*(terms[index] for index in members), strict=True)
            rewards, values, next_values, terminated, ended = (torch.cat(column, dim=1) for column in columns)
            gamma, lambda_ = self._config.gamma, self._config.gae_lambda
            wide = gae(rewards, values, next_values, terminated, ended, gamma, lambda_)
            widths = [terms[index].rewards.shape[1] for index in members]
            found.update(zip(members, wide.split(widths, dim=1), strict=True))
        return [found[index] for index in range(len(terms))]

    def _terms(self, rollout: Rollout, rewards: Tensor, judged: Tensor) -> _Terms:
        """What the advantages of one rollout are made of, in units of the reward; `judged` as in `Judged.values`."""
        envs = rollout.log_probs.shape[1]
        count = rollout.num_steps + envs
        predicted = judged * self._scale.std + self._scale.mean
        values = predicted[:count].reshape(-1, envs)
        next_values = values[1:].clone()
        steps, of = to_device(rollout.ends.T, self._device)
        next_values[steps, of] = predicted[count:]
        return _Terms(
            to_device(rewards, self._device),
            values[:-1],
            next_values,
            to_device(rollout.terminated, self._device),
            to_device(rollout.terminated | rollout.truncated, self._device),
        )

    def _rescale(self, targets: Tensor) -> None:
        """Follow the value targets' scale, and change the critic's last layer so that what it says is preserved."""
        old_mean, old_std = self._scale.mean, self._scale.std
        self._scale.update(targets)
        last = self.policy.critic[-1]
        assert isinstance(last, torch.nn.Linear)
        ratio = old_std / self._scale.std
        last.weight.mul_(ratio)
        last.bias.mul_(ratio).add_((old_mean - self._scale.mean) / self._scale.std)

    def state_dict(self) -> dict[str, Any]:
        """Everything that a resume needs, as tensors and plain values."""
        return {
            "policy": self.policy.state_dict(),
            "algorithm": self._algorithm.state_dict(),
            "moments": self._moments.state_dict(),
            "scale": self._scale.state_dict(),
            "version": self.version,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.policy.load_state_dict(state["policy"])
        self._algorithm.load_state_dict(state["algorithm"])
        self._moments = RunningMoments.from_state(state["moments"])
        self._scale.load_state_dict(state["scale"], self._device)
        self.version = state["version"]


class _Terms(NamedTuple):
    """[T, B] each: the tensors that `gae` takes, in its order."""

    rewards: Tensor
    values: Tensor
    next_values: Tensor
    terminated: Tensor
    ended: Tensor


def _flat(block: Array) -> Array:
    """[T, B, ...] -> [T*B, ...]."""
    return block.reshape(-1, *block.shape[2:])
