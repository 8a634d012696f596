"""PPO with the clipped objective (Schulman et al. 2017, equation 7), as CleanRL's ppo_continuous_action has it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from actors.adam import Adam
from actors.devices import to_device
from actors.limits import within
from actors.policy import ActorCritic
from learners.algorithm import Batch, LossGradient, as_floats, minibatches, report, standardise


@dataclass(frozen=True)
class PPOConfig:
    """learning_rate        of Adam, at the start
    final_learning_rate  share of it that is left at the end of the run; it falls linearly
    epochs               passes over a batch
    minibatch            about so many transitions: a batch is cut into parts of nearly one size
    clip                 the probability ratio is clipped to 1 +- this
    entropy              bonus per nat
    value_coefficient    weight of the critic's loss
    max_gradient_norm    longer gradients are scaled down to it
    target_kl            no further pass once the KL from the policy that acted is above this, in nats; none: no limit.
                         That policy is one version old in a run, so what the previous update has moved counts, too, and
                         the clip is around it as well (EXPERIMENTS.md, "Walker's learner")
    """

    learning_rate: float = 3e-4
    final_learning_rate: float = 0.0
    epochs: int = 10
    minibatch: int = 512
    clip: float = 0.2
    entropy: float = 0.003
    value_coefficient: float = 0.5
    max_gradient_norm: float = 0.5
    target_kl: float | None = None

    def __post_init__(self) -> None:
        within(self, learning_rate="(0, inf)", final_learning_rate="[0, 1]", epochs="[1, inf)", minibatch="[1, inf)")
        within(self, clip="(0, inf)", entropy="[0, inf)", value_coefficient="[0, inf)", max_gradient_norm="(0, inf)")
        within(self, target_kl="(0, inf)")


class PPO:
    """Epochs of minibatch Adam steps on the clipped surrogate, the value error and the entropy bonus.

    The gradient is written out by hand (`learners.algorithm.LossGradient`); `_surrogate_gradient` is PPO's part of it.
    """

    looks_once = False

    def __init__(self, config: PPOConfig, policy: ActorCritic, seed: int) -> None:
        self._config, self._policy = config, policy
        self._gradient = LossGradient(policy, config.entropy, config.value_coefficient)
        self._optimiser = Adam([self._gradient.parameters.vector], epsilon=1e-5)
        self._random = torch.Generator().manual_seed(seed)

    @torch.no_grad()
    def update(self, batch: Batch, progress: float) -> dict[str, float]:
        config = self._config
        fraction = 1.0 - (1.0 - config.final_learning_rate) * progress
        learning_rate = config.learning_rate * fraction
        batch = dataclasses.replace(batch, advantages=standardise(batch.advantages))
        epochs = 0
        while epochs < config.epochs:
            order = to_device(torch.randperm(batch.size, generator=self._random), batch.log_probs.device)
            shuffled = batch.select(order)
            for start, stop in minibatches(batch.size, config.minibatch):
                self._descend(shuffled.rows(start, stop), learning_rate)
            epochs += 1
            if config.target_kl is not None and report(self._policy, batch)["kl"] > config.target_kl:
                break
        return {
            **as_floats({**report(self._policy, batch), "clipped": self._clipped(batch)}),
            "epochs": float(epochs),
            "learning_rate": learning_rate,
        }

    def _descend(self, batch: Batch, learning_rate: float) -> None:
        """One Adam step on one minibatch."""
        self._gradient.compute(batch, lambda log_probs: self._surrogate_gradient(batch, log_probs))
        self._gradient.parameters.clip_gradient(self._config.max_gradient_norm)
        self._optimiser.step(learning_rate)

    def _surrogate_gradient(self, batch: Batch, log_probs: Tensor) -> Tensor:
        """d(-min(ratio A, clip(ratio) A)) / d log_prob [N]: zero where the clip holds."""
        ratio = torch.exp(log_probs - batch.log_probs)
        gain = ratio * batch.advantages
        held = gain > ratio.clamp(1 - self._config.clip, 1 + self._config.clip) * batch.advantages
        return gain.masked_fill_(held, 0.0).neg_()

    def _clipped(self, batch: Batch) -> Tensor:
        """Share of samples whose ratio is outside the clip."""
        batch = batch.sample()
        log_probs = self._policy.log_prob(self._policy.head(batch.inputs(self._policy)), batch.actions)
        return (((log_probs - batch.log_probs).exp() - 1).abs() > self._config.clip).float().mean()

    def state_dict(self) -> dict[str, Any]:
        return {"optimiser": self._optimiser.state_dict(), "random": self._random.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._optimiser.load_state_dict(state["optimiser"])
        self._random.set_state(state["random"])
