"""Learning takes the threads that it is given, acting one, and nobody else's count is changed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from actors.rollout import RolloutWorker
from cluster.config import ConfigError
from cluster.threads import torch_threads
from learners.learner import Learner
from reward_service.fitting import EnsembleFit
from tests.cluster.runs import small_config, train


def test_the_count_is_as_before_afterwards_also_after_an_error() -> None:
    before = torch.get_num_threads()

    def fail() -> None:
        assert torch.get_num_threads() == before + 1
        raise KeyError

    with pytest.raises(KeyError), torch_threads(before + 1):
        fail()
    assert torch.get_num_threads() == before


@pytest.mark.redis
@pytest.mark.parametrize("cores", [1, 2])
def test_one_process_learns_and_trains_with_these_threads_and_acts_with_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cores: int
) -> None:
    seen: dict[str, set[int]] = defaultdict(set)

    def watch(owner: type, name: str) -> None:
        method: Callable[..., Any] = getattr(owner, name)

        def watched(*args: Any, **kwargs: Any) -> Any:
            seen[name].add(torch.get_num_threads())
            return method(*args, **kwargs)

        monkeypatch.setattr(owner, name, watched)

    for owner, name in ((RolloutWorker, "step"), (EnsembleFit, "gradient_step"), (Learner, "weights")):
        watch(owner, name)
    before = torch.get_num_threads()
    train(tmp_path / "run", small_config("cart-pole", steps=256, rollout__cores=cores, loop__learner_threads=3))
    assert seen == {"step": {1}, "gradient_step": {3}, "weights": {3}}
    assert torch.get_num_threads() == before


def test_no_threads_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"learner_threads must be at least 1, got 0"):
        small_config("cart-pole", loop__learner_threads=0)
