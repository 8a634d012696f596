"""RewardEnsemble: E reward networks held and run as one.

Every weight has the members as its first axis and a layer of all members is one `baddbmm`: there is no loop over
members and none over pairs, and E = 1 is an ensemble like any other.

Two scales live here and must not be mixed. *Raw* outputs are what the likelihood sees: comparisons fix them only
up to a constant. *Normalised* outputs, what the agent is paid, are the raw ones brought to a given mean and
deviation over recent agent data (`set_output_statistics`). All statistics are buffers: they travel with the weights, so
whoever scores, scores alike.

Pictures are looked at by `PictureTorsos`, and the layers here read its features; actions are then not looked at (paper:
Atari's predictor has no action input).
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from actors.frames import is_stack
from actors.networks import stacked_tensor
from actors.spaces import ActionSpec
from reward_service.ensemble_config import OBSERVATION_CLIP, TORSOS, EnsembleConfig
from reward_service.layers import members_mlp
from reward_service.picture_torsos import PictureTorsos

MIN_STD = 1e-6
"""A deviation below this is that of a constant: it is replaced by 1, so a constant stays one and is not made noise."""

_NARROW = 0.01  # of reward_std
_AT_ONCE = 1024  # pictured observations that are scored in one go: bounds memory, not the result


class RewardEnsemble(nn.Module):
    """Observation and action in, one reward per member out.

    In all shapes `...` stands for any leading axes, O for the observation's and A for the action's: none if Discrete.
    """

    observation_mean: Tensor  # [O flattened]
    observation_std: Tensor  # [O flattened]
    member_mean: Tensor  # [E] of raw outputs over recent data
    member_std: Tensor  # [E]
    output_mean: Tensor  # [] what is taken from the mean over members of the normalised outputs,
    output_std: Tensor  # [] and in what unit the rest is given, times reward_std
    reward_std: Tensor  # [] deviation that the agent's first reward is given

    def __init__(
        self,
        config: EnsembleConfig,
        observation_shape: tuple[int, ...],
        action_spec: ActionSpec,
        *,
        reward_std: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> None:
        """Weights are drawn like nn.Linear's, U(+-1/sqrt(fan in)), independently for each member from `generator`
        (none: a fixed one, for readers who load a snapshot over it; the global generator is never touched)."""
        super().__init__()
        self.config = config
        self.observation_shape = tuple(observation_shape)
        self.action_spec = action_spec
        generator = generator or torch.Generator().manual_seed(0)
        self.sees_pictures = is_stack(self.observation_shape)
        self.observation_size = 0 if self.sees_pictures else math.prod(self.observation_shape)
        if self.sees_pictures:
            self.torsos = PictureTorsos(
                config.torso, config.members, config.dropout, config.leaky_slope, self.observation_shape, generator
            )
            self.feature_shape = self.torsos.input_shape
            widths = (self.torsos.size, *config.hidden, 1)
        else:
            self.feature_shape = (self.observation_size + action_spec.num_features,)
            widths = (*self.feature_shape, *config.hidden, 1)
        self.weights = nn.ParameterList()  # each [E, in, out]
        self.biases = nn.ParameterList()  # each [E, 1, out]
        for fan_in, fan_out in pairwise(widths):
            bound = 1.0 / math.sqrt(fan_in)
            for parameters, rows in ((self.weights, fan_in), (self.biases, 1)):
                drawn = torch.rand(config.members, rows, fan_out, generator=generator)
                parameters.append(nn.Parameter((2 * drawn - 1) * bound))
        members = config.members
        self.register_buffer("observation_mean", torch.zeros(self.observation_size))
        self.register_buffer("observation_std", torch.ones(self.observation_size))
        self.register_buffer("member_mean", torch.zeros(members))
        self.register_buffer("member_std", torch.ones(members))
        self.register_buffer("output_mean", torch.zeros(()))
        self.register_buffer("output_std", torch.ones(()))
        self.register_buffer("reward_std", torch.tensor(float(reward_std)))

    def features(self, observations: Tensor, actions: Tensor, noise: torch.Generator | None = None) -> Tensor:
        """Network inputs [..., F]: normalised observations, then the action's coordinates or its one-hot choice. Of
        pictures [..., *F], which may be `pooled` already: these in 0..1. With a `noise` generator, config.input_noise
        is added to the observations."""
        if self.sees_pictures:
            seen = self.torsos.inputs(observations.flatten(0, -4))
            if noise is not None and self.config.input_noise > 0.0:
                seen.add_(torch.randn(seen.shape, generator=noise).to(seen), alpha=self.config.input_noise)
            return seen.reshape(*observations.shape[:-3], *self.feature_shape)
        lead = observations.shape[: observations.dim() - len(self.observation_shape)]
        flat = observations.reshape(*lead, self.observation_size).to(self.observation_mean.dtype)
        flat = (flat - self.observation_mean).div_(self.observation_std).clamp_(-OBSERVATION_CLIP, OBSERVATION_CLIP)
        if noise is not None and self.config.input_noise > 0.0:
            drawn = torch.randn(flat.shape, generator=noise, dtype=flat.dtype)
            flat.add_(drawn.to(flat.device), alpha=self.config.input_noise)
        if self.action_spec.discrete:
            actions = F.one_hot(actions, self.action_spec.num_choices)
        return torch.cat((flat, actions.to(flat.dtype)), dim=-1)

    def score(self, features: Tensor, noise: torch.Generator | None = None) -> Tensor:
        """Raw rewards [E, R] of features [R, *F], the same for every member, or [E, R, *F], each member its own. With a
        `noise` generator torsos work as in training."""
        if self.sees_pictures:
            hidden = self.torsos(features, noise)
        else:
            hidden = features if features.dim() == 3 else features.expand(self.config.members, *features.shape)
        return members_mlp(hidden, [*self.weights], [*self.biases], self.config.leaky_slope)

    def stacked(self, pictures: Tensor, depth: int, dim: int) -> Tensor:
        """Observations of `depth` pictures each, from the pictures of consecutive steps, which are the axis `dim`: each
        is pooled once, and then is in as many observations as there are steps to see it."""
        return stacked_tensor(self.torsos.pooled(pictures), depth, dim)

    @property
    def pool(self) -> int:
        """Side of the squares of pixels whose mean is looked at."""
        return TORSOS[self.config.torso].pool if self.sees_pictures else 1

    @property
    def all_weights(self) -> list[nn.Parameter]:
        """What regularisation holds down: weights, members first, and no biases."""
        return [*(self.torsos.weights if self.sees_pictures else ()), *self.weights]

    def member_rewards(self, observations: Tensor, actions: Tensor) -> Tensor:
        """observations [..., O], actions [..., A] -> raw outputs [E, ...]."""
        if self.sees_pictures:
            return self._picture_rewards(observations)
        features = self.features(observations, actions)
        lead = features.shape[:-1]
        return self.score(features.reshape(-1, features.shape[-1])).reshape(-1, *lead)

    def _picture_rewards(self, observations: Tensor) -> Tensor:
        lead = observations.shape[:-3]
        rows = max(1, _AT_ONCE // math.prod(lead[1:]))
        parts = [self._some_picture_rewards(observations[i : i + rows]) for i in range(0, lead[0], rows)]
        return torch.cat(parts, dim=1).reshape(-1, *lead)

    def _some_picture_rewards(self, observations: Tensor) -> Tensor:
        seen = self.torsos.inputs(observations.flatten(0, -4))
        return self.score(seen).unflatten(1, (len(observations), -1))

    def forward(self, observations: Tensor, actions: Tensor) -> Tensor:
        """The reward that the agent is paid [...]: the mean of the normalised members. A mean of members that disagree
        varies less than each of them, so it is scaled once more (paper, section 2.2.3 and appendix A.1)."""
        return self.pay(self.member_rewards(observations, actions))

    def pay(self, member_rewards: Tensor) -> Tensor:
        """The same from raw outputs [E, ...] that are there already."""
        mean = self._standardise(member_rewards).mean(0)
        return (mean - self.output_mean).mul_(self.reward_std / self.output_std)

    def clip_returns(self, observations: Tensor, actions: Tensor) -> Tensor:
        """Undiscounted sums of raw rewards over the clip steps, the last leading axis:
        observations [N, 2, L, O] -> [E, N, 2]; [M, L, O] -> [E, M]."""
        return self.member_rewards(observations, actions).sum(-1)

    @torch.no_grad()
    def set_output_statistics(
        self, observations: Tensor, actions: Tensor, anchor: RewardEnsemble | None = None
    ) -> None:
        """Recompute all output statistics with the current weights over a block of recent agent data
        [..., O], [..., A], which is then paid at zero mean and deviation `reward_std`, or as `anchor` pays for it. Not
        a running mean: that would be one of members that no longer exist.

        Where the anchor pays nearly alike for the whole block there is no scale to measure: raw outputs then keep the
        anchor's, and the mean goes on."""
        rewards = self.member_rewards(observations, actions).flatten(1)  # [E, R]
        std, mean = torch.std_mean(rewards.double(), dim=1, correction=0)
        self.member_mean.copy_(mean)
        if anchor is None:
            self.member_std.copy_(_guarded(std))
            std, mean = torch.std_mean(self._standardise(rewards).mean(0).double(), correction=0)
            self.output_mean.copy_(mean)
            self.output_std.copy_(_guarded(std))
            return
        paid_std, paid_mean = torch.std_mean(anchor(observations, actions).double(), correction=0)
        is_narrow = bool((std <= MIN_STD).any()) or not bool(paid_std > _NARROW * self.reward_std)
        self.member_std.copy_(anchor.member_std if is_narrow else std)
        std, mean = torch.std_mean(self._standardise(rewards).mean(0).double(), correction=0)
        scale = anchor.output_std if is_narrow else std * self.reward_std / paid_std
        self.output_mean.copy_(mean - paid_mean * scale / self.reward_std)
        self.output_std.copy_(scale)

    @torch.no_grad()
    def set_input_statistics(self, mean: Tensor, std: Tensor) -> None:
        """Normalise observations with this mean and deviation, each of the observation's shape, from now on."""
        self.observation_mean.copy_(mean.reshape(-1))
        self.observation_std.copy_(_guarded(std.reshape(-1)))

    def _standardise(self, rewards: Tensor) -> Tensor:
        shape = (-1,) + (1,) * (rewards.dim() - 1)
        return (rewards - self.member_mean.view(shape)) / self.member_std.view(shape)


def disagreement(returns: Tensor) -> Tensor:
    """Variance over members of P[1 preferred over 2]: what makes a pair worth asking (paper, section 2.2.4).

    returns [E, N, 2] raw clip returns, the scale on which P was fitted -> [N] in 0..0.25; zeros for one member.
    """
    return torch.sigmoid(returns[..., 0] - returns[..., 1]).var(dim=0, correction=0)


def _guarded(std: Tensor) -> Tensor:
    return torch.where(std > MIN_STD, std, torch.ones_like(std))
