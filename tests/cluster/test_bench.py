"""bench of a MuJoCo task measures every stage that it names; what 50 people cost the pages has tests of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors.tasks import make_task
from cluster import bench, bench_writes
from cluster.bench_answers import Answered

pytestmark = pytest.mark.redis
TINY = {"rollout.num_envs": 4, "rollout.steps": 60, "ppo.minibatch": 60, "ppo.epochs": 2, "query.recent_clips": 16}
STAGES = {
    "simulator": "steps/s, 1 thread",
    "rollout_worker": "steps/s, 1 thread",
    "learner_update": "us per step",
    "learner_passes": "samples and passes per second",
    "reward_prediction": "steps/s",
    "reward_training": "ms per gradient step",
    "candidate_scoring": "ms per 100 pairs of 16 clips",
    "comparison_writes": "per second, 8 clients",
    "answers_over_http": "per second, 50 people",
    "answer_processor_time": "us in the server, 60 in the people",
    "answer_acknowledged": "ms, p95 of 140 at the pace of people",
    "answer_acknowledged_rushed": "ms, p95 as fast as they can",
}
BOUNDED = ("rollout_worker", "learner_update", "reward_prediction", "reward_training", "candidate_scoring")


def test_every_stage_is_measured_beside_its_limit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in {"ROUNDS": 1, "PAIRS": 100, "LABELS": 20, "GRADIENT_STEPS": 2}.items():
        monkeypatch.setattr(bench, name, value)
    monkeypatch.setattr(bench_writes, "CLIENTS", 2)
    answered = Answered(2000.0, 20_000.0, 70.0, 5.0, 140, 450.0, 60.0)
    monkeypatch.setattr(bench, "measure_answers", lambda: answered)
    found = bench.bench(make_task("half-cheetah"), "cpu", lambda _: None, TINY)["stages"]
    assert {name: stage["unit"] for name, stage in found.items()} == STAGES
    assert all(stage["value"] > 0 for stage in found.values())
    for name in (*BOUNDED, "comparison_writes", "answers_over_http"):
        assert found[name]["share"] > 0
        assert found[name]["limited_by"]
    assert found["learner_passes"]["value"] == pytest.approx(2 * 1e6 / found["learner_update"]["value"])
    assert found["answers_over_http"]["share"] == 0.1
    assert list(tmp_path.iterdir()) == [], "nothing is left behind"
