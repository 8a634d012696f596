"""What a service adds to what it runs."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from cluster.device_memory import DeviceMemoryError
from cluster.services import Labeling, RewardService
from tests.cluster.runs import small_config


def test_reward_training_is_behind_until_it_has_done_what_new_labels_are_owed() -> None:
    config = small_config(loop__reward_steps_per_label=4)
    told = {"num_read": 0.0, "gradient_steps": 0.0}

    class Trainer:
        def step(self) -> dict[str, float]:
            return told

    trainer: Any = Trainer()
    service = RewardService(config, trainer, config.make_task().action)

    def is_behind(read: int, gradient_steps: int) -> bool:
        told.update(num_read=float(read), gradient_steps=float(gradient_steps))
        return bool(service.step()["behind"])

    assert not is_behind(0, 0)
    assert is_behind(10, 39)
    assert not is_behind(10, 40)
    assert not is_behind(10, 5000), "nobody labels"
    assert is_behind(13, 5011)
    assert not is_behind(13, 5012)
    assert is_behind(14, 5015), "one was taken back, which is to be learned, too"
    config = small_config(loop__reward_steps_per_label=0)
    service = RewardService(config, trainer, config.make_task().action)
    assert not is_behind(10, 1), "nothing is owed"


def test_a_gpu_too_small_for_the_candidates_is_named_with_what_to_lower() -> None:
    class QueryActor:
        def step(self) -> dict[str, float]:
            raise torch.OutOfMemoryError("CUDA out of memory.")

    actor: Any = QueryActor()
    config = small_config(query__recent_clips=64)
    expected = r"too small for choosing what to ask; lower query.recent_clips \(it is 64\) or query.candidates"
    with pytest.raises(DeviceMemoryError, match=expected):
        Labeling(config, actor, labeler=None, overlap=1).step()
