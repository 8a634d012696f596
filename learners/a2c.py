"""A2C: synchronous advantage actor-critic (Mnih et al. 2016, section 4), the paper's learner on Atari.

Its settings there, "Adam with alpha 0.99 and epsilon 1e-5", are RMSProp's, so RMSProp it is (`learners.rmsprop`). One
gradient step per Batch: it wants small ones (16 environments, n = 5 steps), which whoever composes the run gives it.

Advantages are taken in the units of the value scale (`targets - values`), not standardised per batch as PPO's are:
the mean of 80 of them is mostly noise, and taking it away would undo what the critic knows. The value scale moves
slowly, and still makes the step independent of the scale of the reward model of the day.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from actors.limits import within
from actors.policy import ActorCritic
from learners.algorithm import Batch, LossGradient, as_floats, report
from learners.rmsprop import RMSProp


@dataclass(frozen=True)
class A2CConfig:
    """learning_rate        of RMSProp, at the start
    final_learning_rate  share of it that is left at the end of the run; it falls linearly
    alpha                decay of RMSProp's mean of squared gradients
    epsilon              RMSProp's, inside the root
    entropy              bonus per nat
    value_coefficient    weight of the critic's loss
    max_gradient_norm    longer gradients are scaled down to it
    """

    learning_rate: float = 7e-4
    final_learning_rate: float = 0.0
    alpha: float = 0.99
    epsilon: float = 1e-5
    entropy: float = 0.01
    value_coefficient: float = 0.5
    max_gradient_norm: float = 0.5

    def __post_init__(self) -> None:
        within(self, learning_rate="(0, inf)", final_learning_rate="[0, 1]", alpha="[0, 1)", epsilon="(0, inf)")
        within(self, entropy="[0, inf)", value_coefficient="[0, inf)", max_gradient_norm="(0, inf)")


class A2C:
    """One RMSProp step per Batch on -log pi(a|s) A, the value error and the entropy bonus."""

    looks_once = True

    def __init__(self, config: A2CConfig, policy: ActorCritic, seed: int) -> None:
        """`seed` as every algorithm takes it: nothing here is drawn at random."""
        self._config, self._policy = config, policy
        self._gradient = LossGradient(policy, config.entropy, config.value_coefficient)
        self._optimiser = RMSProp(self._gradient.parameters.vector, config.alpha, config.epsilon)

    @torch.no_grad()
    def update(self, batch: Batch, progress: float) -> dict[str, float]:
        learning_rate = self._config.learning_rate * (1.0 - (1.0 - self._config.final_learning_rate) * progress)
        advantages = batch.targets - batch.values
        self._gradient.compute(batch, lambda _: -advantages)
        self._gradient.parameters.clip_gradient(self._config.max_gradient_norm)
        self._optimiser.step(learning_rate)
        return {**as_floats(report(self._policy, batch)), "learning_rate": learning_rate}

    def state_dict(self) -> dict[str, Any]:
        return {"optimiser": self._optimiser.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._optimiser.load_state_dict(state["optimiser"])
