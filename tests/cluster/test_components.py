"""Components as a run builds them."""

from __future__ import annotations

from typing import Any

import pytest

from cluster.components import RewardService, RunSpec, build_labeling, build_learner, build_worker, ray_cores
from labeling.practice import NUM_PAIRS, Practice
from reward_service.database import ComparisonDatabase
from tests.cluster.runs import small_config

pytestmark = pytest.mark.redis


@pytest.mark.parametrize(("labeler", "num_pairs"), [("human", NUM_PAIRS), ("synthetic", 0)])
def test_a_run_that_people_label_keeps_clips_for_practice(
    database: ComparisonDatabase, redis_url: str, labeler: str, num_pairs: int
) -> None:
    config = small_config(labeler=labeler, rollout__num_envs=32)
    spec = RunSpec(config, config.make_task(), redis_url, database.run_id)
    labeling, worker = build_labeling(spec), build_worker(spec, worker=0)
    labeling.observe(*worker.step(build_learner(spec).weights()), agent_steps=0)
    labeling.step()
    worker.close()
    assert len(Practice(database.client, database.run_id).pairs(database, 0)) == num_pairs


@pytest.mark.parametrize(("cores", "workers", "told"), [(2, 0, 2), (2, 1, 2), (2, 5, 5), (16, 5, 16)])
def test_a_ray_of_this_machine_has_a_core_for_every_worker_that_was_asked_for(
    monkeypatch: pytest.MonkeyPatch, cores: int, workers: int, told: int
) -> None:
    monkeypatch.setattr("cluster.components.num_cores", lambda: cores)
    assert ray_cores(small_config(in_process=False, workers=workers)) == told


def test_reward_training_is_behind_until_it_has_done_what_new_labels_are_owed() -> None:
    config = small_config(loop__reward_steps_per_label=4)
    told = {"num_labels": 0.0, "gradient_steps": 0.0}

    class Trainer:
        def step(self) -> dict[str, float]:
            return told

    trainer: Any = Trainer()
    service = RewardService(trainer, RunSpec(config, config.make_task(), "", ""))

    def is_behind(labels: int, gradient_steps: int) -> bool:
        told.update(num_labels=float(labels), gradient_steps=float(gradient_steps))
        return bool(service.step()["behind"])

    assert not is_behind(0, 0)
    assert is_behind(10, 39)
    assert not is_behind(10, 40)
    assert not is_behind(10, 5000), "nobody labels"
    assert is_behind(13, 5011)
    assert not is_behind(13, 5012)
    assert not is_behind(12, 5012), "one was taken back"
    config = small_config(loop__reward_steps_per_label=0)
    service = RewardService(trainer, RunSpec(config, config.make_task(), "", ""))
    assert not is_behind(10, 1), "nothing is owed"
