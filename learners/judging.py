"""What the critic says to all that rollouts have seen, before anything is learned from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from actors.devices import to_device
from actors.policy import ActorCritic
from actors.trajectory import Rollout
from learners.stacks import Stacks


@dataclass(frozen=True, eq=False)
class Judged:
    """Several rollouts of T steps of B environments, N steps together.

    seen      before each step, in the order [rollout, T, B]: normalised [N, O], or the Stacks of N pictured ones
    values    of each rollout [(T+1)*B + K], what the critic says to its observations, those after its K ends last
    features  [N, F] of the policy's torso, with their graph, where the critic was asked in order to learn
    """

    seen: Tensor | Stacks
    values: list[Tensor]
    features: Tensor | None = None


def judge(policy: ActorCritic, rollouts: Sequence[Rollout]) -> Judged:
    """Of what is measured."""
    seen, values = [], []
    for rollout in rollouts:
        flat = rollout.observations.reshape(rollout.num_steps + rollout.log_probs.shape[1], -1)
        everything = np.concatenate((flat, rollout.final_observations.reshape(len(rollout.ends), flat.shape[1])))
        normalised = policy.normalise(to_device(everything, _device(policy)))
        seen.append(normalised[: rollout.num_steps])
        values.append(policy.values(normalised))
    return Judged(torch.cat(seen), values)


def judge_pictures(policy: ActorCritic, rollouts: Sequence[Rollout], looks_once: bool) -> Judged:
    """Of what is pictured, all rollouts together: a GPU is given few large tasks. `looks_once`: what the torso saw
    before each step is what will be learned from in a moment (`Algorithm`); what came last is only judged."""
    device = _device(policy)
    steps, envs = [rollout.num_steps for rollout in rollouts], [rollout.log_probs.shape[1] for rollout in rollouts]
    everything = Stacks.cat(
        [
            Stacks.of_block(to_device(rollout.observations, device), rollout.depth, len(rollout.log_probs) + 1)
            for rollout in rollouts
        ]
    )
    both = [count for pair in zip(steps, envs, strict=True) for count in pair]  # of each rollout, steps and last ones
    places = everything.places.split(both)
    acted, last = (Stacks(everything.pictures, torch.cat(places[which::2])) for which in (0, 1))
    features = None
    if looks_once:
        with torch.enable_grad():
            features = policy.features(policy.normalise(acted.stacked()))
        before = policy.from_features(features)[1].detach()
    else:
        before = _values(policy, acted)
    after = _values(policy, last)
    ends = [rollout.final_stacks for rollout in rollouts if len(rollout.ends)]
    ended = policy.values(policy.normalise(to_device(np.concatenate(ends), device))) if ends else before[:0]
    ended_each = [len(rollout.ends) for rollout in rollouts]
    parts = zip(before.split(steps), after.split(envs), ended.split(ended_each), strict=True)
    return Judged(acted, [torch.cat(each) for each in parts], features)


def _values(policy: ActorCritic, stacks: Stacks) -> Tensor:
    """[N] float32, of N stacks, some at once: that bounds memory, not the result."""
    at_once = 8192 if stacks.places.device.type == "cuda" else 512  # a GPU takes as long for few
    parts = (stacks[begin : begin + at_once].stacked() for begin in range(0, len(stacks), at_once))
    return torch.cat([policy.values(policy.normalise(part)) for part in parts])


def _device(policy: ActorCritic) -> torch.device:
    return next(policy.parameters()).device
