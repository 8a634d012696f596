"""A GPU works through its queue while the learner fills it; a number that the learner asks for empties the queue."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from actors.policy import ActorCritic
from learners.a2c import A2C, A2CConfig
from learners.algorithm import Algorithm, Batch
from learners.ppo import PPO, PPOConfig

ASKED = {"_local_scalar_dense", "is_nonzero", "equal", "nonzero"}
"""Operations that hand a number, or a size, from the device to Python."""


class Asked(TorchDispatchMode):
    """Notes them."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if name in ASKED:
            self.names.append(name)
        return func(*args, **(kwargs or {}))


def test_what_is_asked_for_is_noticed() -> None:
    with Asked() as asked:
        float(torch.ones(3).sum())
        torch.ones(3).nonzero()
    assert asked.names == ["_local_scalar_dense", "nonzero"]


@pytest.mark.parametrize("name", ["ppo", "a2c"])
def test_an_update_asks_for_no_number_until_it_is_over(policy: ActorCritic, batch: Batch, name: str) -> None:
    algorithm: Algorithm = PPO(PPOConfig(epochs=2), policy, 0) if name == "ppo" else A2C(A2CConfig(), policy, 0)
    algorithm.update(batch, 0.0)
    with Asked() as asked:
        metrics = algorithm.update(batch, 0.1)
    assert asked.names == []
    assert len(metrics) > 5
