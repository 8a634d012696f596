"""Normalisation: with which statistics the ensemble sees its inputs, and with which it pays.

They are those of what the agent did (`RecentSteps`). Before this process has seen it do anything, those that came with
the weights, where a snapshot was adopted: networks that are shown other inputs than they were fitted to say something
else. Where there are none either, those of the labelled clips.
"""

from __future__ import annotations

import torch

from reward_service.dataset import ComparisonDataset
from reward_service.ensemble import RewardEnsemble
from reward_service.recent import RecentSteps
from reward_service.snapshot import RewardSnapshot


class Normalisation:
    """Keeps the statistics of one ensemble. `adopted`: its weights came from a snapshot, and their statistics too."""

    def __init__(self, ensemble: RewardEnsemble, recent: RecentSteps) -> None:
        self._ensemble, self._recent = ensemble, recent
        self.adopted = False

    def adopt(self, snapshot: RewardSnapshot) -> None:
        """Go on from the statistics of a snapshot that was loaded into the ensemble. One that does not say of how many
        steps they are counts as a full ring of them: next to nothing would let the newest rollouts take over."""
        count = self._recent.capacity if snapshot.num_observed is None else snapshot.num_observed
        self._recent.go_on_from(snapshot.tensors["observation_mean"], snapshot.tensors["observation_std"], count)
        self.adopted = True

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
        self._ensemble.set_output_statistics(observations.to(device), actions.to(device))
