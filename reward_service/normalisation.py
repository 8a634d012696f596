"""Normalisation: with which statistics the ensemble sees its inputs, and with which it pays.

They are those of what the agent did (`RecentSteps`). Before this process has seen it do anything, those that came with
the weights, where a snapshot was adopted: networks that are shown other inputs than they were fitted to say something
else. Where there are none either, those of the labelled clips.

The pay is *anchored*. Comparisons fix a reward up to a constant and, as members grow surer, hardly its scale; so
each snapshot pays for recent steps, in the mean and in deviation, what the one before it paid for the same steps. The
first has zero mean and deviation `reward_std` over what the untrained policy does. So the reward remains one function
of what is seen, made better, and an agent that does better is paid more. The price is a second look at the recent steps
at each publication, and a copy of the ensemble.

Why not zero mean and a constant deviation over recent steps each time, as in the paper (section 2.2.3)? Then what a
state pays depends on the policy, and falls as it gets better: states that it has left probably keep a value from when
they were paid more. Walker learns half as much by it, even from its true reward (EXPERIMENTS.md, "An anchored reward").
It is there as `recent`.
"""

from __future__ import annotations

import copy
from typing import Any, Literal

import torch
from torch import Tensor

from reward_service.dataset import ComparisonDataset
from reward_service.ensemble import RewardEnsemble
from reward_service.recent import RecentSteps
from reward_service.snapshot import RewardSnapshot

Kind = Literal["anchored", "recent"]


class Normalisation:
    """Keeps the statistics of one ensemble. `adopted`: its weights came from a snapshot, and their statistics too."""

    def __init__(self, ensemble: RewardEnsemble, recent: RecentSteps, kind: Kind) -> None:
        self._ensemble, self._recent, self._kind = ensemble, recent, kind
        self._last: RewardEnsemble | None = None  # as it was published; none before that, and where none is needed
        self.adopted = False

    def adopt(self, snapshot: RewardSnapshot) -> None:
        """Go on from the statistics of a snapshot that was loaded into the ensemble."""
        mean, std = snapshot.tensors["observation_mean"], snapshot.tensors["observation_std"]
        self._recent.go_on_from(mean, std, snapshot.num_observed)
        self.adopted = True
        self.published()

    def of_inputs(self, dataset: ComparisonDataset) -> None:
        """All steps observed, here and before. Pictures need none."""
        if self._ensemble.sees_pictures:
            return
        if self._recent.count:
            self._ensemble.set_input_statistics(self._recent.mean, self._recent.std)
        elif not self.adopted:
            std, mean = torch.std_mean(dataset.observations.flatten(0, 2).double(), dim=0, correction=0)
            self._ensemble.set_input_statistics(mean, std)

    def of_outputs(self, dataset: ComparisonDataset) -> None:
        """The current weights over the latest steps. Adopted ones stay until there are any: the weights have hardly
        moved since, and labelled clips are not what the agent does."""
        observations, actions = self._recent.observations, self._recent.actions
        if not len(observations):
            if self.adopted:
                return
            steps = self._recent.capacity
            observations = dataset.stacks(dataset.observations[:steps]).flatten(0, 2)[:steps]
            actions = dataset.actions.flatten(0, 2)[:steps]
        device = self._ensemble.observation_mean.device
        observations, actions = observations.to(device), actions.to(device)
        self._ensemble.set_output_statistics(observations, actions, self._last)

    def published(self) -> None:
        """What the ensemble pays now is what the agent is paid, until the next time."""
        if self._kind == "recent":
            return
        if self._last is None:
            self._last = copy.deepcopy(self._ensemble).requires_grad_(False)
        self._last.load_state_dict(self._ensemble.state_dict())

    def state_dict(self) -> dict[str, Any]:
        last: dict[str, Tensor] | None = None if self._last is None else self._last.state_dict()
        return {"adopted": self.adopted, "last": last and {name: tensor.clone() for name, tensor in last.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.adopted, self._last = state["adopted"], None
        if state["last"] is not None and self._kind == "anchored":
            self._last = copy.deepcopy(self._ensemble).requires_grad_(False)
            self._last.load_state_dict(state["last"])
