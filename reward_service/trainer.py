"""RewardTrainer: new labels in, fit, validate, publish a snapshot. The reward service's one loop.

It reads the ordered log from its cursor and never looks at a wall clock: what it does is a function of the log, of
what it observed and of its seed. How often `step` is called, and so its share of the machine, is its caller's business.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from actors.spaces import ActionSpec
from reward_service.dataset import ComparisonDataset, DatasetSpec, RewardDataError
from reward_service.ensemble import RewardEnsemble
from reward_service.feed import ComparisonFeed
from reward_service.fitting import EnsembleFit
from reward_service.normalisation import Normalisation
from reward_service.recent import RecentSteps
from reward_service.reliability import STATUS, Evidence, PoolReliability, estimate
from reward_service.snapshot import RewardSnapshot
from reward_service.trainer_config import RewardDatabase, RewardTrainerConfig


class RewardTrainer:
    """Feed it with `observe`, run it with `step`; it owns the ensemble that it trains."""

    def __init__(
        self,
        config: RewardTrainerConfig,
        database: RewardDatabase,
        observation_shape: tuple[int, ...],
        action_spec: ActionSpec,
        clip_steps: int,
        device: torch.device | str = "cpu",
    ) -> None:
        self.config = config
        self._database = database
        self._generator = torch.Generator().manual_seed(config.seed)
        self.ensemble = RewardEnsemble(
            config.networks, observation_shape, action_spec, reward_std=config.reward_std, generator=self._generator
        ).to(device)
        unknown = 1 - config.error_rate
        self._data = DatasetSpec(
            members=config.members,
            seed=config.seed,
            clip_steps=clip_steps,
            observation_shape=observation_shape,
            action=action_spec,
            max_labels=config.max_labels,
            pool=self.ensemble.pool,
        )
        self._feed = ComparisonFeed(database, lambda: ComparisonDataset(self._data, unknown), config.majority)
        self.recent = RecentSteps(config.recent_steps, observation_shape, action_spec)
        self.normalisation = Normalisation(self.ensemble, self.recent, config.normalisation)
        self.fit = EnsembleFit(config, self.ensemble, self._generator)
        self.reliability = PoolReliability({}, 0.0)
        self.version = 0
        self._published_at = 0  # gradient step of the last snapshot

    @property
    def dataset(self) -> ComparisonDataset:
        return self._feed.dataset

    def adopt(self, snapshot: RewardSnapshot) -> None:
        """Go on from a published snapshot where there is no checkpoint: from its weights, the statistics with which
        they were trained, and what was last told of the labelers. Raises SnapshotError where it belongs to other
        networks or spaces."""
        snapshot.load_into(self.ensemble)
        self.normalisation.adopt(snapshot)
        self._feed.begin()
        if self.config.learns_reliability:
            self.reliability = PoolReliability.from_status(self._database.status_of(STATUS))
            self.dataset.believe(self.reliability.means)

    def observe(self, observations: np.ndarray | Tensor, actions: np.ndarray | Tensor) -> None:
        """Recent agent data, for the statistics only: observations [T, B, *O] raw, actions [T, B, *A] as executed
        (`ActionSpec.executed`). Raises RewardDataError, and keeps nothing of the block, if a value is not finite."""
        self.recent.observe(observations, actions)

    def step(self) -> dict[str, float]:
        """Take in what is new in the log (at most 512 entries), do `gradient_steps_per_step` gradient steps, publish if
        labels came in or `publish_every_steps` went by; the metrics.

        While no member has a comparison to train on it returns at once with `waiting` = 1 and publishes nothing.
        A call that raises (a lost connection) may simply be repeated: the cursor and the version move only once
        what they stand for is done."""
        self._feed.read()
        if not bool(self.dataset.trainable.any()):
            return self._metrics(waiting=True)
        self.normalisation.of_inputs(self.dataset)
        for _ in range(self.config.gradient_steps_per_step):
            self.fit.gradient_step(self.dataset)
            if self.config.learns_reliability and self.fit.gradient_steps % self.config.reliability_every_steps == 0:
                self._estimate_reliability()
        if self._feed.unpublished or self.fit.gradient_steps - self._published_at >= self.config.publish_every_steps:
            self._publish()
        return self._metrics(waiting=False)

    def has_news(self) -> bool:
        """Whether there are labels, or retractions, that the next step will take in."""
        return self._feed.has_news()

    def state_dict(self) -> dict[str, Any]:
        """Everything a resume needs that the log does not hold, in tensors and plain values only:
        `torch.load(weights_only=True)` reads it."""
        return {
            "identity": self._identity(),
            "ensemble": {name: tensor.clone() for name, tensor in self.ensemble.state_dict().items()},
            "fit": self.fit.state_dict(),
            "recent": self.recent.state_dict(),
            "normalisation": self.normalisation.state_dict(),
            "generator": self._generator.get_state(),
            "version": self.version,
            **self._feed.state_dict(),
            "published_at": self._published_at,
            "reliability": self.reliability.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on as if never stopped: the dataset is rebuilt from the log's first `items_read` entries, the rest is
        restored. Raises RewardDataError for a state of another run or a log that is shorter than it was."""
        if state["identity"] != self._identity():
            raise RewardDataError(
                f"this checkpoint's reward trainer is of another run ({state['identity']}), this one has "
                f"{self._identity()}; resume with the options that the run was started with"
            )
        self._feed.load_state_dict(state)
        if self.config.learns_reliability:  # a run that is to believe all alike from now on takes none
            self.reliability = PoolReliability.from_state(state["reliability"])
            self.dataset.believe(self.reliability.means)
        self.ensemble.load_state_dict(state["ensemble"])
        self.fit.load_state_dict(state["fit"])
        self.recent.load_state_dict(state["recent"])
        self.normalisation.load_state_dict(state["normalisation"])
        self._generator.set_state(state["generator"])
        self.version = state["version"]
        self._published_at = state["published_at"]

    def _estimate_reliability(self) -> None:
        """By gold queries and by the members that hold a query out. A single labeler only by gold: the members have
        learned from nobody else, and would find fault with what that labeler taught them. Marks are asked for anew: one
        that was taken back must not speak against those whom it had measured."""
        data = self.dataset
        if data.num_marked:
            data.mark(self._database.gold_marks())
        labelers = data.labelers.numpy()
        alone = len(np.unique(labelers)) < 2
        differences = np.full(len(data), np.nan) if alone else self.fit.held_out_differences(data).numpy()
        answers = (data.mu[:, 0] - data.mu[:, 1]).numpy()
        evidence = Evidence(labelers, answers, data.gold.numpy(), differences)
        found = estimate(evidence, data.labeler_names, self.config.error_rate)
        self.reliability = found.following(self.reliability)
        data.believe(self.reliability.means)

    def _publish(self) -> None:
        """Statistics of the current weights, then a snapshot. A version that the database refuses was used before a
        crash, after the checkpoint resumed from: the next free one is taken, for versions only go up."""
        if self.reliability.labelers:
            self._database.set_status(STATUS, self.reliability.status())
        self.normalisation.of_outputs(self.dataset)
        for version in (self.version + 1, self._database.snapshots.version() + 1):
            metrics = self._metrics(waiting=False) | {"reward_version": float(version)}
            snapshot = RewardSnapshot.capture(
                self.ensemble, version, len(self.dataset), metrics, num_observed=self.recent.count
            )
            if self._database.snapshots.put(version, snapshot.to_bytes(), self._feed.cursor):
                self.version = version
                self.normalisation.published()
                self._feed.unpublished = 0
                self._published_at = self.fit.gradient_steps
                return

    def _metrics(self, waiting: bool) -> dict[str, float]:
        """num_read: entries of the log so far; num_labels: answers trained on or held out, of which `max_labels` keeps
        the latest; num_incomparable: of no use for that, but counted, since whoever waits for so many answers waits for
        these too; num_left_out: those of them whose clips are not finite, or cannot be read; members_trained: of how
        many members there is anything to train on."""
        num_labels, left_out = self._feed.num_labels, self._feed.num_left_out
        return self.fit.metrics() | {
            "waiting": float(waiting),
            "num_read": float(self._feed.num_read),
            "num_labels": float(num_labels),
            "num_incomparable": float(self.dataset.num_incomparable + left_out),
            "num_left_out": float(left_out),
            "members_trained": float(self.dataset.trainable.sum()),
            "reward_version": float(self.version),
            "gradient_steps": float(self.fit.gradient_steps),
            "gradient_steps_per_label": self.fit.gradient_steps / num_labels if num_labels else math.nan,
        }

    def _identity(self) -> dict[str, Any]:
        """What must be the same on resume: the networks, the split, what a comparison is."""
        data = self._data
        return {
            "members": data.members,
            "hidden": list(self.config.hidden),
            "seed": data.seed,
            "clip_steps": data.clip_steps,
            "observation_shape": list(data.observation_shape),
            "action_features": data.action.num_features,
            "max_labels": data.max_labels,
            "target": self.config.target,
        }
