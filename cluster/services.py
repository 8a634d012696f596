"""What runs beside the policy: reward training, and labeling. Each knows nothing of where it runs; `cluster.hosts` and
`cluster.in_process` turn them."""

from __future__ import annotations

from typing import Any, Protocol

from actors.spaces import ActionSpec
from actors.trajectory import Hidden, Rollout
from cluster.config import RunConfig
from cluster.device_memory import device_memory
from labeling.oracle import SyntheticLabeler
from labeling.people import SyntheticPool
from labeling.query_actor import QueryActor
from reward_service.trainer import RewardTrainer


class Service(Protocol):
    """What runs beside the policy: it observes rollouts, and one `step` does one unit of work."""

    def observe(self, rollout: Rollout, hidden: Hidden, agent_steps: int) -> None: ...

    def reach(self, agent_steps: int) -> None: ...

    def step(self) -> dict[str, float]: ...

    def has_news(self) -> bool:
        """Whether something has come in that the next step would take in."""
        ...

    def forget(self) -> None: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class RewardService:
    """The RewardTrainer as a service. One step is the trainer's; it has no schedule, and nothing to forget. `behind` of
    its metrics: whether gradient steps are owed to labels that came in (`loop.reward_steps_per_label`)."""

    def __init__(self, config: RunConfig, trainer: RewardTrainer, action: ActionSpec) -> None:
        self._config, self._trainer, self._action = config, trainer, action
        self._read = self._gradient_steps = self._owed = 0.0

    def observe(self, rollout: Rollout, hidden: Hidden, agent_steps: int) -> None:
        del hidden, agent_steps  # the reward model learns from comparisons alone
        self._trainer.observe(rollout.stacks[:-1], self._action.executed(rollout.actions))

    def reach(self, agent_steps: int) -> None: ...

    def step(self) -> dict[str, float]:
        with device_memory("reward training", self._config):
            metrics = self._trainer.step()
        read, gradient_steps = metrics["num_read"], metrics["gradient_steps"]
        # What was done before a label came does not count: a run that nobody labels for a night works off nothing.
        new = (read - self._read) * self._config.loop.reward_steps_per_label
        self._owed = max(0.0, self._owed + new - (gradient_steps - self._gradient_steps))
        self._read, self._gradient_steps = read, gradient_steps
        return {**metrics, "behind": float(self._owed > 0)}

    def has_news(self) -> bool:
        return self._trainer.has_news()

    def forget(self) -> None: ...

    def state_dict(self) -> dict[str, Any]:
        return self._trainer.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._trainer.load_state_dict(state)


class Labeling:
    """The query actor, and beside it the synthetic labeler, or several, where the run has them."""

    def __init__(
        self, config: RunConfig, query_actor: QueryActor, labeler: SyntheticLabeler | SyntheticPool | None, overlap: int
    ) -> None:
        self._config, self._query_actor, self._labeler, self._overlap = config, query_actor, labeler, overlap

    def observe(self, rollout: Rollout, hidden: Hidden, agent_steps: int) -> None:
        self._query_actor.observe(rollout, hidden, agent_steps)

    def reach(self, agent_steps: int) -> None:
        self._query_actor.reach(agent_steps)

    def step(self) -> dict[str, float]:
        with device_memory("choosing what to ask", self._config):
            metrics = self._query_actor.step()
        answered = self._labeler.step() if self._labeler else 0
        metrics["labels"] += answered
        metrics["queries_open"] -= answered // self._overlap
        return {**metrics, "waiting": float(metrics["queries_asked"] + answered == 0)}

    def has_news(self) -> bool:
        return False  # it looks often enough

    def forget(self) -> None:
        self._query_actor.forget()

    def state_dict(self) -> dict[str, Any]:
        return self._query_actor.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._query_actor.load_state_dict(state)
