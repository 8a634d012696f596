"""ActorCritic: what acts and what judges states, and the flat vector in which it travels.

Observations are normalised inside the policy, with statistics that are part of its weights: whoever holds one
version of the weights sees the world in the same way. With statistics of their own, actor and learner would hold two
policies of one version.
The critic's output is in units of the learner's value statistics, see `learners.advantages.ValueScale`.
Pictures need no statistics: their bytes are scaled to 0..1, and actor and critic share one torso that looks at them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from actors.frames import is_stack
from actors.limits import within
from actors.networks import PictureTorso, Torso, mlp, pictures
from actors.spaces import ActionSpec
from actors.weights import PolicyWeights

OBSERVATION_CLIP = 10.0


@dataclass(frozen=True)
class PolicyConfig:
    """hidden       widths of the hidden layers of actor and critic, two MLPs
    initial_std  initial standard deviation of a Gaussian policy, in policy units
    torso        of pictures: the convolutions that actor and critic share; each is then one layer on top
    """

    hidden: tuple[int, ...] = (64, 64)
    initial_std: float = 1.0
    torso: Torso = "mnih-2015"

    def __post_init__(self) -> None:
        within(self, hidden="[1, inf)", initial_std="(0, inf)")


class ActorCritic(nn.Module):
    """A Gaussian or categorical actor, and a critic: two MLPs over normalised observations, or one layer each over the
    features of a torso.

    `precision` is what the torso's layers multiply in; weights, sums and gradients stay float32.
    """

    precision: torch.dtype = torch.float32
    observation_mean: Tensor
    observation_std: Tensor

    def __init__(self, config: PolicyConfig, observation_shape: tuple[int, ...], action: ActionSpec) -> None:
        super().__init__()
        self.action = action
        self.sees_pictures = is_stack(observation_shape)
        width, hidden = math.prod(observation_shape), config.hidden
        if self.sees_pictures:
            self.torso = PictureTorso(config.torso, observation_shape)
            width, hidden = self.torso.width, ()
        self.actor = mlp([width, *hidden, action.num_choices or action.size], last_gain=0.01)
        self.critic = mlp([width, *hidden, 1], last_gain=1.0)
        if not action.discrete:
            self.log_std = nn.Parameter(torch.full((action.size,), math.log(config.initial_std)))
        width = 0 if self.sees_pictures else width
        self.register_buffer("observation_mean", torch.zeros(width))
        self.register_buffer("observation_std", torch.ones(width))

    def normalise(self, observations: Tensor) -> Tensor:
        """Raw observations [..., O] -> normalised and clipped; stacks of pictures [N, K, H, W] -> 0..1."""
        if self.sees_pictures:
            return pictures(observations)
        scaled = (observations - self.observation_mean) / self.observation_std
        return scaled.clamp(-OBSERVATION_CLIP, OBSERVATION_CLIP)

    def head(self, normalised: Tensor) -> Tensor:
        """Gaussian means or logits [..., A] from normalised observations."""
        return self.actor(self.features(normalised))

    def values(self, normalised: Tensor) -> Tensor:
        """Critic outputs [...] from normalised observations, in value-scale units."""
        return self.critic(self.features(normalised)).squeeze(-1)

    def head_and_values(self, normalised: Tensor) -> tuple[Tensor, Tensor]:
        """Both, for one look at the observations."""
        return self.from_features(self.features(normalised))

    def from_features(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """The same from what is seen in them."""
        return self.actor(features), self.critic(features).squeeze(-1)

    def features(self, normalised: Tensor) -> Tensor:
        """What the torso makes of normalised pictures, [N, F]; other observations are their own."""
        if not self.sees_pictures:
            return normalised
        if self.precision is torch.float32:
            return self.torso(normalised)
        with torch.autocast(normalised.device.type, self.precision):
            return self.torso(normalised).float()

    def log_prob(self, head: Tensor, actions: Tensor) -> Tensor:
        """Log density [...] of sampled actions [..., *A] under the distribution of `head` [..., A]."""
        if self.action.discrete:
            return F.log_softmax(head, -1).gather(-1, actions.unsqueeze(-1)).squeeze(-1)
        return gaussian_log_prob(head, self.log_std, actions)

    def entropy(self, head: Tensor) -> Tensor:
        """Entropy in nats: [...] for logits, a scalar for a Gaussian (its spread does not depend on the state)."""
        if self.action.discrete:
            log_p = F.log_softmax(head, -1)
            return -(log_p.exp() * log_p).sum(-1)
        return (self.log_std + 0.5 * math.log(2 * math.pi * math.e)).sum()

    def kl(self, old_head: Tensor, old_log_std: Tensor | None, head: Tensor) -> Tensor:
        """KL(old || new) [...]; `old_log_std` [A] is the old Gaussian's, None for a categorical policy."""
        if old_log_std is None:
            old, new = F.log_softmax(old_head, -1), F.log_softmax(head, -1)
            return (old.exp() * (old - new)).sum(-1)
        variance_ratio = torch.exp(2 * (old_log_std - self.log_std))
        distance = ((old_head - head) / self.log_std.exp()) ** 2
        return 0.5 * (variance_ratio + distance - 1 - variance_ratio.log()).sum(-1)

    def deterministic(self, observations: np.ndarray) -> np.ndarray:
        """The most likely action [B, *A] for raw observations [B, *O]."""
        with torch.inference_mode():
            head = self.head(self.normalise(self._tensor(observations)))
            return (head.argmax(-1) if self.action.discrete else head).numpy()

    def _tensor(self, observations: np.ndarray) -> Tensor:
        if self.sees_pictures:
            return torch.from_numpy(np.ascontiguousarray(observations))
        return torch.from_numpy(np.ascontiguousarray(observations, np.float32)).flatten(1)

    def export(self, version: int) -> PolicyWeights:
        """A copy of all weights and statistics, for travelling."""
        return PolicyWeights(version, torch.cat([t.detach().reshape(-1) for t in self._tensors()]).cpu().numpy())

    def load(self, weights: PolicyWeights) -> None:
        """Take over an exported version. Raises ValueError where it is of another shape."""
        tensors = self._tensors()
        expected = sum(t.numel() for t in tensors)
        if weights.vector.shape != (expected,):
            raise ValueError(
                f"policy weights have {weights.vector.size} numbers, this policy has {expected}: "
                "they belong to another task or network"
            )
        start = 0
        source = torch.from_numpy(np.array(weights.vector, np.float32))
        with torch.no_grad():
            for tensor in tensors:
                tensor.copy_(source[start : start + tensor.numel()].view_as(tensor))
                start += tensor.numel()

    def _tensors(self) -> list[Tensor]:
        return [*self.parameters(), *self.buffers()]


def gaussian_log_prob(mean: Tensor, log_std: Tensor, actions: Tensor) -> Tensor:
    """Log density [...] of a diagonal Gaussian at actions [..., A]."""
    scaled = (actions - mean) * torch.exp(-log_std)
    return -0.5 * (scaled * scaled).sum(-1) - (log_std + 0.5 * math.log(2 * math.pi)).sum()
