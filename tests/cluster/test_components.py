"""Components as a run builds them."""

from __future__ import annotations

import pytest

from cluster.components import RunSpec, build_labeling, build_learner, build_worker, ray_cores
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
