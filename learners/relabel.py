"""Relabel: give a rollout its predicted reward, from the newest snapshot of the reward model.

Scoring is done here, in batches on the learner's own device; the reward service is never called per step.
"""

from __future__ import annotations

import torch
from torch import Tensor

from actors.devices import to_device
from actors.spaces import ActionSpec
from actors.trajectory import Rollout
from reward_service.snapshot import SnapshotReader


class Relabeler:
    """`relabel(rollout)` -> rewards [T, B] float32, paid and raw, by the newest snapshot that `refresh` has found. They
    stay on the reward model's device, which nobody waits for."""

    def __init__(self, reader: SnapshotReader, action: ActionSpec) -> None:
        self._reader, self._action = reader, action

    @property
    def reward_version(self) -> int:
        """Version of the snapshot in use; 0 while there is none."""
        return self._reader.version

    @property
    def snapshot_metrics(self) -> dict[str, float]:
        """The reward service's metrics as published with the snapshot in use; empty while there is none."""
        return self._reader.metrics if self._reader.version else {}

    def refresh(self) -> bool:
        """Take the newest snapshot; True where it is newer than the one in use."""
        return self._reader.refresh()

    @torch.inference_mode()
    def relabel(self, rollout: Rollout) -> tuple[Tensor, Tensor]:
        """Two predicted rewards, [T, B] each: what the agent is paid, in units that the snapshot says; and the members'
        raw mean, in log-odds of being preferred, for the charts; its scale grows as the model gets surer."""
        device = next(self._reader.ensemble.parameters()).device
        observations = to_device(rollout.observations[:-1], device)
        if rollout.depth > 1:
            observations = self._reader.ensemble.stacked(observations, rollout.depth, dim=0)
        actions = to_device(self._action.executed(rollout.actions), device)
        members = self._reader.ensemble.member_rewards(observations, actions)
        return self._reader.ensemble.pay(members).float(), members.mean(0).float()
