"""TRPO (Schulman et al. 2015, "Trust Region Policy Optimization", section 6 and appendix C): the paper's learner.

One natural-gradient step per batch, as far as the KL limit allows. Left out: the Fisher matrix on a subsample of
the batch. The policies here are small, and acting costs more than the step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from actors.adam import Adam
from actors.devices import to_device
from actors.limits import within
from actors.policy import ActorCritic
from learners.algorithm import Batch, as_floats, minibatches, report, standardise
from learners.gradient import FlatParameters, TanhMLP


@dataclass(frozen=True)
class TRPOConfig:
    """max_kl               mean KL(before || after) of one update, in nats
    cg_iterations        of the conjugate gradient
    cg_damping           added to the Fisher matrix, as a multiple of the identity
    backtracks           halvings of the step that are tried before the policy is left as it is
    entropy              bonus per nat
    value_learning_rate  of Adam, for the critic
    value_epochs         passes of the critic over a batch
    value_minibatch      transitions of one of its steps, about: a batch is cut into parts of nearly one size
    """

    max_kl: float = 0.01
    cg_iterations: int = 10
    cg_damping: float = 0.1
    backtracks: int = 10
    entropy: float = 0.01
    value_learning_rate: float = 1e-3
    value_epochs: int = 5
    value_minibatch: int = 256

    def __post_init__(self) -> None:
        within(self, max_kl="(0, inf)", cg_iterations="[1, inf)", cg_damping="[0, inf)", backtracks="[0, inf)")
        within(self, entropy="[0, inf)", value_learning_rate="(0, inf)", value_epochs="[0, inf)")
        within(self, value_minibatch="[1, inf)")


class TRPO:
    """The policy by a natural-gradient step with a line search, the critic by minibatch Adam.

    Where no tried step improves the surrogate within the limit, the policy stays as it was; `kl_step` is then 0.
    """

    looks_once = False

    def __init__(self, config: TRPOConfig, policy: ActorCritic, seed: int) -> None:
        self._config, self._policy = config, policy
        spread = [] if policy.action.discrete else [policy.log_std]
        self._policy_parameters = [*policy.actor.parameters(), *spread]
        self._flat = FlatParameters(self._policy_parameters)
        self._critic, self._critic_flat = TanhMLP(policy.critic), FlatParameters(policy.critic.parameters())
        self._optimiser = Adam([self._critic_flat.vector], epsilon=1e-5)
        self._random = torch.Generator().manual_seed(seed)

    def update(self, batch: Batch, progress: float) -> dict[str, float]:
        """`progress` drives nothing here: the KL limit is the step size."""
        with torch.enable_grad():
            searched = self._improve_policy(batch)
        with torch.no_grad():
            self._fit_critic(batch)
            return {**as_floats(report(self._policy, batch)), **searched}

    def _improve_policy(self, batch: Batch) -> dict[str, float]:
        config, policy, vector = self._config, self._policy, self._flat.vector.data
        advantages = standardise(batch.advantages)
        head = policy.head(batch.inputs(policy))
        old_head = head.detach()
        old_log_std = None if policy.action.discrete else policy.log_std.detach().clone()

        def surrogate(head: Tensor) -> Tensor:
            ratio = (policy.log_prob(head, batch.actions) - batch.log_probs).exp()
            return (ratio * advantages).mean() + config.entropy * policy.entropy(head).mean()

        before = surrogate(head)
        gradient = self._flat.flatten(torch.autograd.grad(before, self._policy_parameters, retain_graph=True))
        kl_gradient = self._flat.flatten(
            torch.autograd.grad(
                policy.kl(old_head, old_log_std, head).mean(), self._policy_parameters, create_graph=True
            )
        )

        def fisher(direction: Tensor) -> Tensor:
            """(F + damping) direction: the KL's gradient is 0 here, so its Hessian is the Fisher matrix."""
            product = torch.autograd.grad(kl_gradient @ direction, self._policy_parameters, retain_graph=True)
            return self._flat.flatten(product).detach() + config.cg_damping * direction

        direction = conjugate_gradient(fisher, gradient, config.cg_iterations)
        curvature = float(direction @ fisher(direction))
        if not curvature > 0:  # no gradient at all, or not a number: nowhere to go
            return {"kl_step": 0.0, "line_search_steps": 0.0}
        step = direction * (2 * config.max_kl / curvature) ** 0.5
        old_vector = vector.clone()
        with torch.no_grad():
            for tried in range(config.backtracks + 1):
                vector.copy_(old_vector + step * 0.5**tried)
                head = policy.head(batch.inputs(policy))
                kl = float(policy.kl(old_head, old_log_std, head).mean())
                if kl <= config.max_kl and float(surrogate(head)) > float(before):  # NaN is refused by both
                    return {"kl_step": kl, "line_search_steps": float(tried + 1)}
            vector.copy_(old_vector)
        return {"kl_step": 0.0, "line_search_steps": float(config.backtracks + 1)}

    def _fit_critic(self, batch: Batch) -> None:
        for _ in range(self._config.value_epochs):
            order = to_device(torch.randperm(batch.size, generator=self._random), batch.targets.device)
            observations, targets = batch.inputs(self._policy)[order], batch.targets[order]
            for start, stop in minibatches(batch.size, self._config.value_minibatch):
                error = self._critic.forward(observations[start:stop]).squeeze(1) - targets[start:stop]
                self._critic.backward((error / len(error)).unsqueeze(1))
                self._optimiser.step(self._config.value_learning_rate)

    def state_dict(self) -> dict[str, Any]:
        return {"optimiser": self._optimiser.state_dict(), "random": self._random.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._optimiser.load_state_dict(state["optimiser"])
        self._random.set_state(state["random"])


def conjugate_gradient(product: Callable[[Tensor], Tensor], right: Tensor, iterations: int) -> Tensor:
    """x with product(x) = right, for a symmetric positive definite `product`, in at most so many steps."""
    x = torch.zeros_like(right)
    residual, direction = right.clone(), right.clone()
    square = residual @ residual
    for _ in range(iterations):
        if square < 1e-10:
            break
        image = product(direction)
        alpha = square / (direction @ image)
        x += alpha * direction
        residual -= alpha * image
        previous, square = square, residual @ residual
        direction = residual + (square / previous) * direction
    return x
