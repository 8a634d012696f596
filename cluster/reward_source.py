"""RewardSource: where the agent's reward comes from. A reward model, with the services that ask people and fit it; or,
for a baseline, the environment's own.

    paid, predicted = source.rewards(collected)
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from cluster.components import RunSpec, build_database, build_relabeler
from cluster.config import label_schedule, pretraining_steps
from cluster.device_memory import device_memory
from cluster.interfaces import Collected, Services
from cluster.redis_care import RedisCare
from learners.learner import LearnerFailure

_LAST_LABELS_S = 3.0
_ACT_ON_S = 2.0
_IDLE_TURNS = 3
"""Turns in one process that bring no label, though some are wanted: nothing is left to ask about. The first answers of
a run come in the second."""


class RewardSource:
    """Of one run. `services` is None for a baseline: it asks nobody, and is ready at once."""

    def __init__(self, spec: RunSpec, services: Services | None, redis_care: RedisCare) -> None:
        self._config, self._services, self._redis_care = spec.config, services, redis_care
        self._relabeler = build_relabeler(spec, build_database(spec)) if services else None
        self._labels, self._idle_turns, self._acted_s = 0.0, 0, 0.0

    @property
    def predicts(self) -> bool:
        """Whether the reward is a model's."""
        return self._relabeler is not None

    def observe(self, collected: Collected, agent_steps: int) -> None:
        """Show the services what the agent does."""
        self._acted_s = time.monotonic()
        if self._services:
            self._services.observe(collected, agent_steps)

    def advance(self) -> None:
        """Let the services work, where they do not by themselves."""
        if self._services:
            self._redis_care.attempt(self._services.advance)

    def hurry(self, hurried: bool) -> None:
        """Whether the agent waits for the services."""
        self._idle_turns = 0
        if self._services:
            self._services.hurry(hurried)

    def forget(self) -> None:
        """A clean cut: the services drop what they have of episodes."""
        if self._services:
            self._services.forget()

    def rewards(self, collected: Collected) -> tuple[list[Tensor], list[Tensor]]:
        """For each rollout the rewards [T, B] that the agent is paid, and those that charts compare with the truth: a
        model's own units, or the true reward again."""
        if self._relabeler is None:
            true_rewards = [torch.tensor(hidden.true_rewards) for _, hidden in collected]
            return true_rewards, true_rewards
        self._redis_care.attempt(self._relabeler.refresh)
        while not self._relabeler.reward_version:  # resumed, and Redis did not answer: never by networks as they began
            time.sleep(0.05)
            self.advance()
            self._redis_care.attempt(self._relabeler.refresh)
        with device_memory("relabelling", self._config):
            relabelled = [self._relabeler.relabel(rollout) for rollout, _ in collected]
        return [paid for paid, _ in relabelled], [raw for _, raw in relabelled]

    def is_ready(self) -> bool:
        """Whether the first labels are in and the reward model has been fitted to them. Raises LearnerFailure where
        they are in and say nothing."""
        if self._relabeler is None:
            return True
        self._redis_care.attempt(self._relabeler.refresh)
        metrics, wanted = self._relabeler.snapshot_metrics, label_schedule(self._config).initial_labels
        if _judged(metrics) >= wanted and metrics.get("gradient_steps", 0) >= pretraining_steps(self._config):
            return True
        if _judged(told := self.metrics()) >= wanted and told.get("members_trained") == 0:
            raise LearnerFailure(
                f'the first {wanted} answers teach nothing: "cannot tell" is not trained on, and each member of the '
                "reward model holds a third of the others out; start a new run that asks more at first, with --labels "
                "or --set query.initial_fraction=0.5"
            )
        return False

    def wait(self) -> bool:
        """Not ready: let the services work, and give them time. Returns whether the agent should act on meanwhile: it
        does while nobody labels, and leaves the machine to the reward model. In process the services have worked when
        this returns, and only people and a Redis that is away need time: a run that answers itself is to be the same
        whatever the clock says, and acts on where what it has seen leaves nothing to ask about. Raises LearnerFailure
        where more of it would not help."""
        if self._answers_itself:
            wanted, is_idle, told = label_schedule(self._config).initial_labels, self._idle_turn(), self.metrics()
            if not is_idle or told.get("labels", 0) >= wanted:
                return False
            if told.get("clips_refused"):
                raise LearnerFailure(
                    f"the clips of the first {wanted} labels do not fit into Redis; start a new run with a larger "
                    f"--set loop.clip_budget_mib=... (it is {self._config.loop.clip_budget_mib})"
                )
            return True
        time.sleep(0.05)
        self.advance()
        return time.monotonic() - self._acted_s >= _ACT_ON_S

    @property
    def _answers_itself(self) -> bool:
        return self._config.in_process and self._config.labeler != "human" and self._redis_care.is_well

    def _idle_turn(self) -> bool:
        """A turn of the services in this process; whether it was one of several on end that brought no label."""
        self.advance()
        before, self._labels = self._labels, self.metrics().get("labels", 0)
        self._idle_turns = 0 if self._labels != before else self._idle_turns + 1
        if self._idle_turns < _IDLE_TURNS:
            return False
        self._idle_turns = 0
        return True

    def take_last_labels(self, metrics: dict[str, Any], agent_steps: int) -> None:
        """The last labels fall due with the last steps: let a synthetic labeler answer them before the run ends, and
        count them in `metrics`. Some may be missing: no clip may be left to ask about."""
        if not self._services or self._config.labeler != "synthetic":
            return
        self._services.reach(agent_steps)
        self.hurry(True)
        deadline_s, is_over = time.monotonic() + _LAST_LABELS_S, False
        while metrics.get("labels", 0) < self._config.labels and not is_over:
            if self._answers_itself:
                is_over = self._idle_turn()
            else:
                self.advance()
                time.sleep(0.1)
                is_over = time.monotonic() >= deadline_s
            metrics.update(self.metrics())
        self.hurry(False)

    def metrics(self) -> dict[str, float]:
        """What the services say of themselves; but of the reward model the version by which the agent is paid."""
        version = self._relabeler.reward_version if self._relabeler else 0
        told = self._services.metrics() if self._services else {}
        return {**told, "reward_version": version, "redis_failures": self._redis_care.failures}

    def state_dict(self) -> dict[str, Any]:
        return self._services.state_dict() if self._services else {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if self._services:
            self._services.load_state_dict(state)


def _judged(metrics: Mapping[str, float]) -> float:
    """Answers that the reward service has taken in, those that say nothing included."""
    return metrics.get("num_labels", 0) + metrics.get("num_incomparable", 0)
