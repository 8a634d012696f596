"""What every policy-gradient algorithm is given, what it must be able to do, and the pieces that several share."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from actors.policy import ActorCritic
from learners.gradient import FlatParameters, TanhMLP
from learners.stacks import Stacks

_MAX_REPORTED = 256  # transitions whose forward pass a report pays for, where that is a convolution's
_LOG_2PI = math.log(2 * math.pi)


@dataclass(frozen=True, eq=False)
class Batch:
    """N transitions, in no order, on the learner's device.

    observations  [N, O] normalised, or the Stacks of N pictured ones
    actions       [N, *A] as sampled
    log_probs     [N] under the policy that acted
    advantages    [N] as estimated (not standardised)
    targets       [N] value targets, in value-scale units
    values        [N] what the critic said before the update, in value-scale units
    features      [N, F] of the policy's torso, with their graph, where the critic was asked in order to learn
                  (`Algorithm.looks_once`): good for one gradient, before the torso changes. Parts of a batch have none
    """

    observations: Tensor | Stacks
    actions: Tensor
    log_probs: Tensor
    advantages: Tensor
    targets: Tensor
    values: Tensor
    features: Tensor | None = None

    @property
    def size(self) -> int:
        return len(self.log_probs)

    def select(self, index: Tensor) -> Batch:
        """The transitions at `index` [M], copied."""
        return Batch(*(column.index_select(0, index) for column in self._columns()))

    def rows(self, start: int, stop: int) -> Batch:
        """The transitions from `start` to `stop`, as views."""
        return Batch(*(column[start:stop] for column in self._columns()))

    def _columns(self) -> list[Any]:
        return [getattr(self, f.name) for f in fields(self) if f.name != "features"]

    def inputs(self, policy: ActorCritic) -> Tensor:
        """[N, *O], what the policy's networks read."""
        seen = self.observations
        return policy.normalise(seen.stacked()) if isinstance(seen, Stacks) else seen

    def sample(self) -> Batch:
        """For a report: all of it, or evenly spaced transitions where looking at all would cost a third of an epoch."""
        if not isinstance(self.observations, Stacks):
            return self
        count = min(_MAX_REPORTED, max(1, self.size // 4))
        return self.select(torch.linspace(0, self.size - 1, count, device=self.log_probs.device).long())


class Algorithm(Protocol):
    """PPO, TRPO or A2C: improves a policy from one Batch.

    `looks_once`: an update is one gradient of the whole batch. What the torso saw when the critic was asked is then
    kept for it, which saves a quarter of the convolutions.
    """

    looks_once: bool

    def update(self, batch: Batch, progress: float) -> dict[str, float]:
        """One policy version further. `progress` in [0, 1] of the run drives schedules. Returns its metrics."""
        ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


def standardise(advantages: Tensor) -> Tensor:
    """Zero mean, unit standard deviation: policy steps do not depend on the scale of the reward."""
    return (advantages - advantages.mean()) / (advantages.std(correction=0) + 1e-8)  # 0 for a single one, not NaN


def minibatches(size: int, minibatch: int) -> Iterator[tuple[int, int]]:
    """Where the parts of a batch begin and end, each of about `minibatch` transitions, all of nearly one size: Adam's
    step on a remainder of sixteen would be as long as one on 256."""
    parts = max(1, round(size / minibatch))
    return pairwise(size * part // parts for part in range(parts + 1))


def report(policy: ActorCritic, batch: Batch) -> dict[str, Tensor]:
    """What an update has done, over the batch: the metrics that mean the same in every algorithm, on its device.

    `kl` is from the policy that acted, estimated from its samples (http://joschu.net/blog/kl-approx.html, k3).
    """
    batch = batch.sample()
    head, values = policy.head_and_values(batch.inputs(policy))
    log_ratio = policy.log_prob(head, batch.actions) - batch.log_probs
    ratio = log_ratio.exp()
    error = values - batch.targets
    spread = batch.targets.var(correction=0) + 1e-8
    return {
        "policy_loss": -(ratio * standardise(batch.advantages)).mean(),
        "value_loss": 0.5 * error.square().mean(),
        "explained_variance": 1 - error.var(correction=0) / spread,
        "entropy": policy.entropy(head).mean(),
        "kl": (ratio - 1 - log_ratio).mean(),
    }


def as_floats(metrics: dict[str, Tensor]) -> dict[str, float]:
    """All in one transfer: each is a wait for the device, and for the update that it still works on."""
    return dict(zip(metrics, torch.stack(list(metrics.values())).tolist(), strict=True))


class HandWrittenNetwork:
    """Actor and critic as two tanh MLPs."""

    def __init__(self, policy: ActorCritic) -> None:
        self._policy, self._actor, self._critic = policy, TanhMLP(policy.actor), TanhMLP(policy.critic)

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Heads [N, A] and values [N]."""
        inputs = batch.inputs(self._policy)
        return self._actor.forward(inputs), self._critic.forward(inputs).squeeze(1)

    def backward(self, head_gradient: Tensor, value_gradient: Tensor) -> None:
        """From d loss / d what the last forward returned to every parameter's `.grad`."""
        self._critic.backward(value_gradient.unsqueeze(1))
        self._actor.backward(head_gradient)


class AutogradNetwork:
    """The same for a policy with a torso, whose arithmetic is large enough to pay for autograd."""

    def __init__(self, policy: ActorCritic) -> None:
        self._policy = policy
        self._outputs: tuple[Tensor, Tensor] | None = None

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        features = batch.features
        with torch.enable_grad():
            if features is None:
                features = self._policy.features(batch.inputs(self._policy))
            self._outputs = self._policy.from_features(features)
        head, values = self._outputs
        return head.detach(), values.detach()

    def backward(self, head_gradient: Tensor, value_gradient: Tensor) -> None:
        assert self._outputs is not None
        torch.autograd.backward(self._outputs, (head_gradient, value_gradient))
        self._outputs = None


class LossGradient:
    """The gradient of an actor-critic loss, written into `parameters.gradient`:

        mean policy loss - entropy x mean entropy + value_coefficient x mean of half the squared value error

    An algorithm says what its policy loss is by its derivative with respect to the log densities. From there to what
    the networks say it is written out by hand; through MLPs by hand too, through convolutions by autograd.
    """

    def __init__(self, policy: ActorCritic, entropy: float, value_coefficient: float) -> None:
        self._policy, self._entropy, self._value_coefficient = policy, entropy, value_coefficient
        self._network = AutogradNetwork(policy) if policy.sees_pictures else HandWrittenNetwork(policy)
        self.parameters = FlatParameters(policy.parameters())

    def compute(self, batch: Batch, derivative: Callable[[Tensor], Tensor]) -> None:
        """`derivative` gives d(policy loss) / d(log density) [N] from the present log densities [N]."""
        head, values = self._network.forward(batch)
        self.parameters.gradient.zero_()  # autograd adds to what is there
        error = (values - batch.targets) * (self._value_coefficient / batch.size)
        self._network.backward(self._head_gradient(batch, head, derivative), error)

    def _head_gradient(self, batch: Batch, head: Tensor, derivative: Callable[[Tensor], Tensor]) -> Tensor:
        """d loss / d head [N, A]; the Gaussian's spread gets its `.grad` on the way."""
        policy, entropy, size = self._policy, self._entropy, batch.size
        if policy.action.discrete:
            log_p = F.log_softmax(head, -1)
            log_probs = log_p.gather(1, batch.actions.unsqueeze(1)).squeeze(1)
            weight = derivative(log_probs).unsqueeze(1) / size
            p = log_p.exp()
            nats = -(p * log_p).sum(1, keepdim=True)
            gradient = (p * (log_p + nats)).mul_(entropy / size) - p * weight
            return gradient.scatter_add_(1, batch.actions.unsqueeze(1), weight)
        std = policy.log_std.exp()
        scaled = (batch.actions - head) / std
        squares = scaled * scaled
        log_probs = -0.5 * squares.sum(1) - (policy.log_std.sum() + 0.5 * _LOG_2PI * policy.action.size)
        weight = (derivative(log_probs) / size).unsqueeze(1)
        assert policy.log_std.grad is not None
        torch.sum((squares - 1.0) * weight, 0, out=policy.log_std.grad)
        policy.log_std.grad -= entropy
        return scaled * (weight / std)
