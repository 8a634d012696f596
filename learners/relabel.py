"""Relabel: give a rollout its predicted reward, from the newest snapshot of the reward model.

Scoring is done here, in batches on the learner's own device; the reward service is never called per step.
"""

from __future__ import annotations

import numpy as np
import torch

from actors.spaces import ActionSpec
from actors.trajectory import Rollout
from reward_service.snapshot import SnapshotReader

Array = np.ndarray


class Relabeler:
    """`relabel(rollout)` -> rewards [T, B] float32 by the newest snapshot that `refresh` has found."""

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
    def relabel(self, rollout: Rollout) -> Array:
        """Predicted rewards [T, B]: zero mean and constant spread over recent behaviour, as the snapshot says."""
        device = next(self._reader.ensemble.parameters()).device
        observations = torch.tensor(rollout.observations[:-1], device=device)  # copied: a rollout may be read-only
        actions = torch.tensor(self._action.executed(rollout.actions), device=device)
        return self._reader.ensemble(observations, actions).float().cpu().numpy()
