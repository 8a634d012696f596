"""Where the agent's reward comes from when Redis does not answer at once."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest
import redis
import torch

from cluster import reward_source
from cluster.reward_source import RewardSource
from tests.cluster.runs import small_config


class LateRelabeler:
    """Finds a snapshot when it is asked for the third time; Redis does not answer before."""

    def __init__(self) -> None:
        self.asked, self.reward_version = 0, 0

    def refresh(self) -> None:
        self.asked += 1
        if self.asked < 3:
            raise redis.TimeoutError("no answer")
        self.reward_version = 7

    def relabel(self, rollout: Any) -> tuple[torch.Tensor, torch.Tensor]:
        reward = torch.full((2, 1), float(self.reward_version))
        return reward, reward


class PatientCare:
    def attempt(self, work: Callable[[], object]) -> None:
        with suppress(redis.TimeoutError):
            work()


def test_a_resumed_run_learns_from_no_reward_model_as_it_was_initialised(monkeypatch: pytest.MonkeyPatch) -> None:
    """It asks for none at its start, as a new run does that waits for the first."""
    relabeler, worked = LateRelabeler(), []
    monkeypatch.setattr(reward_source, "build_relabeler", lambda spec, database: relabeler)
    monkeypatch.setattr(reward_source, "build_database", lambda spec: None)
    config = small_config(in_process=True)
    services: Any = SimpleNamespace(advance=lambda: worked.append(relabeler.reward_version))
    source = RewardSource(SimpleNamespace(config=config), services, PatientCare())  # pyright: ignore
    paid, _ = source.rewards([(None, None)])  # pyright: ignore
    assert paid[0].tolist() == [[7.0], [7.0]]
    assert worked == [0, 0], "the services work on meanwhile"
