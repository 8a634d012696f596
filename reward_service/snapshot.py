"""One published version of the reward model: weights, statistics, and what it was made of.

A snapshot is a safetensors file: arrays and text, nothing that runs when it is read. Its header says which networks
and which spaces it belongs to, so that a reader can rebuild the ensemble from it or refuse a foreign one with a
sentence. In the database it is a (version, bytes) pair; versions only go up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from reward_service.ensemble import RewardEnsemble
from reward_service.snapshot_header import SnapshotError, SnapshotHeader, damaged, read_header


class SnapshotSource(Protocol):
    """The two calls of a run's SnapshotStore that a reader needs."""

    def version(self) -> int: ...

    def get(self) -> tuple[int, bytes] | None: ...


class NothingPublished:
    """A source before its first snapshot, for whoever has no run."""

    def version(self) -> int:
        return 0

    def get(self) -> None:
        return None


@dataclass(frozen=True, eq=False)
class RewardSnapshot(SnapshotHeader):
    """tensors   the ensemble's state_dict: weights and all statistics, on the CPU. The rest is the header's."""

    tensors: dict[str, Tensor]

    @classmethod
    def capture(
        cls,
        ensemble: RewardEnsemble,
        version: int,
        num_labels: int = 0,
        metrics: dict[str, float] | None = None,
        num_observed: int = 0,
    ) -> RewardSnapshot:
        """A copy of the ensemble as it is now: training on does not change it."""
        tensors = {name: tensor.detach().cpu().clone() for name, tensor in ensemble.state_dict().items()}
        return cls(
            version,
            num_labels,
            dict(metrics or {}),
            ensemble.config,
            ensemble.observation_shape,
            ensemble.action_spec,
            num_observed,
            tensors,
        )

    def to_bytes(self) -> bytes:
        return save_tensors(self.tensors, metadata=self.metadata())

    @classmethod
    def from_bytes(cls, payload: bytes) -> RewardSnapshot:
        """Raises SnapshotError for anything that `to_bytes` of this format did not write."""
        header = read_header(payload)
        try:
            return cls(**vars(header), tensors=load_tensors(payload))
        except (SafetensorError, ValueError) as error:
            raise damaged(error) from error

    def build(self) -> RewardEnsemble:
        """A new ensemble that holds this snapshot."""
        ensemble = RewardEnsemble(self.config, self.observation_shape, self.action_spec)
        self.load_into(ensemble)
        return ensemble

    @torch.no_grad()
    def load_into(self, ensemble: RewardEnsemble) -> None:
        """Overwrite the ensemble's weights and statistics in place. Raises SnapshotError, and changes nothing, if
        the snapshot belongs to other networks or spaces, or holds a value that is not finite."""
        for name in ("config", "observation_shape", "action_spec"):
            mine, theirs = getattr(self, name), getattr(ensemble, name)
            if mine != theirs:
                raise SnapshotError(
                    f"reward snapshot {self.version} was made for {name} {mine}, this run has {theirs}; "
                    f"use the snapshot with the task and options that it was trained with"
                )
        own = ensemble.state_dict()
        if {n: t.shape for n, t in own.items()} != {n: t.shape for n, t in self.tensors.items()}:
            raise SnapshotError(f"reward snapshot {self.version} is damaged: its arrays do not fit its own header")
        if not all(bool(torch.isfinite(tensor).all()) for tensor in self.tensors.values()):
            raise SnapshotError(f"reward snapshot {self.version} holds values that are not finite; train it anew")
        for name, tensor in own.items():
            tensor.copy_(self.tensors[name])


class SnapshotReader:
    """Keeps one ensemble at the newest published version. Used by the learner and by the query actor."""

    def __init__(self, published: SnapshotSource, ensemble: RewardEnsemble) -> None:
        self._published = published
        self.ensemble = ensemble
        self.version = 0
        self.metrics: dict[str, float] = {}

    def refresh(self) -> bool:
        """Load the newest snapshot if it is newer than what is held; True if something was loaded.

        Costs one small read when nothing changed. With no snapshot published yet it returns False at once and
        the ensemble stays as it was built (version 0): the caller decides what an unfitted reward is worth.
        """
        if self._published.version() <= self.version:
            return False
        newest = self._published.get()
        if newest is None or newest[0] <= self.version:
            return False
        snapshot = RewardSnapshot.from_bytes(newest[1])
        snapshot.load_into(self.ensemble)
        self.version, self.metrics = newest[0], snapshot.metrics
        return True
