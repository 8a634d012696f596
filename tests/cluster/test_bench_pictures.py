"""bench of a game counts its networks' work rightly and measures every stage that has to do with pictures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from actors.policy import ActorCritic, PolicyConfig
from actors.tasks import make_task
from cluster import bench, bench_pictures
from cluster.bench_parts import spec_of
from cluster.bench_pictures import Work, keeping, work_of
from cluster.components import build_worker, rollout_steps
from cluster.configure import make_config
from reward_service.ensemble import EnsembleConfig, RewardEnsemble

TINY = {
    "policy.torso": "mnih-2013",
    "reward.torso": "small",
    "workers": 3,
    "rollout.steps": 96,
    "rollout.num_envs": 2,
    "ppo.minibatch": 32,
    "ppo.epochs": 2,
    "reward.batch_pairs": 2,
}


def test_a_small_round_of_it_measures_every_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "ROUNDS", 1)
    monkeypatch.setattr(bench_pictures, "ROUNDS", 1)
    said: list[str] = []
    found = bench.bench(make_task("pong"), "cpu", said.append, TINY)
    assert list(found["stages"]) == [
        *("simulator", "rollout_worker", "keyframes", "matrix_product", "memory_copy"),
        *("learner_update", "learner_passes", "learner_traffic", "reward_prediction", "relabelling", "reward_training"),
    ]
    assert len(said) == len(bench.table_rows(found)) == len(found["stages"])
    bounded = [stage for stage in found["stages"].values() if stage["share"] is not None]
    assert len(bounded) == 6
    assert all(stage["share"] > 0 for stage in bounded)
    update, passes = (found["stages"][name]["value"] for name in ("learner_update", "learner_passes"))
    assert found["stages"]["keyframes"]["value"] > 0
    assert passes == pytest.approx(2 * 1e6 / update)


@pytest.mark.parametrize(("steps", "moments"), [(5, 1), (50, 2), (64, 2)])
def test_what_a_moment_costs_counts_as_often_as_a_rollout_of_that_length_keeps_one(
    steps: int, moments: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a clock that says 10 ms for steps that keep one, 4 for others, and 300 for a rollout."""
    task = make_task("pong")
    config = make_config(task, {**TINY, "workers": 1, "rollout.steps": steps, "ppo.minibatch": 2 * steps})
    worker = build_worker(spec_of(config, task), 0)
    rollout = worker.step(ActorCritic(config.policy, task.observation_shape, task.action).export(0))
    assert rollout[1].keyframes is not None
    assert len(rollout[1].keyframes.rows) == moments
    rollouts = -(-bench_pictures.KEPT_ROUNDS // steps)
    clock = {"kept_step": 0.010, "step": 0.004, "<lambda>": 0.300 * rollouts}
    monkeypatch.setattr(bench_pictures, "processor_seconds", lambda work: clock[work.__name__])
    stage = keeping(config, task)
    assert stage.value == pytest.approx(1e6 * 0.006 / 2)
    assert f"{moments} in {steps} steps: {moments * 2:.2f}%" in stage.unit


def test_a_gpu_is_given_what_a_large_run_gives_it() -> None:
    task = make_task("pong")
    config = make_config(task, {"in_process": True, **bench_pictures.PICTURED["cuda"]})
    assert rollout_steps(config, task, config.workers) == bench_pictures.PICTURED["cpu"]["rollout.steps"]
    assert config.ppo.minibatch * 8 == config.rollout.num_envs * config.rollout.steps


def test_a_sample_of_mnihs_network_costs_56_million_operations_forward_and_back() -> None:
    task = make_task("pong")
    policy = ActorCritic(PolicyConfig(torso="mnih-2015"), task.observation_shape, task.action)
    work = work_of(
        lambda seen: policy.head_and_values(policy.normalise(seen)), torch.zeros(3, *task.observation_shape).byte()
    )
    convolutions = 20 * 20 * 32 * 8 * 8 * 4 + 9 * 9 * 64 * 4 * 4 * 32 + 7 * 7 * 64 * 3 * 3 * 64
    assert work.flops == 2 * (convolutions + 7 * 7 * 64 * 512 + 512 * (6 + 1))
    assert work.times(3).flops == pytest.approx(56e6, rel=0.01)


def test_members_work_is_that_of_each() -> None:
    task = make_task("pong")

    def work(members: int) -> Work:
        config = EnsembleConfig(members=members, torso="paper")
        ensemble = RewardEnsemble(config, task.observation_shape, task.action)
        stacks = torch.zeros(2, *task.observation_shape).byte()
        return work_of(lambda seen: ensemble.score(ensemble.features(seen, torch.empty(0))), stacks)

    assert work(3).flops == 3 * work(1).flops


def test_a_layer_moves_what_it_reads_and_writes() -> None:
    work = work_of(nn.Linear(10, 20), torch.zeros(5, 10))
    assert work.flops == 2 * 10 * 20
    assert work.bytes == pytest.approx(4 * (10 + 20 + (10 * 20 + 20) / 5))


def test_the_nearer_ceiling_is_the_limit() -> None:
    sample = Work(flops=10.0, bytes=4.0)
    assert sample.limit(Work(100.0, 100.0)) == (10.0, "its arithmetic")
    assert sample.limit(Work(1000.0, 100.0)) == (25.0, "its memory traffic")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
@pytest.mark.parametrize("task", ["pong", "half-cheetah"])
def test_a_gpu_that_is_not_there_is_one_sentence(twoclips: Callable[..., Any], task: str) -> None:
    done = twoclips("bench", "--task", task, "--device", "cuda")
    assert done.code == 2
    assert done.stderr.strip() == "twoclips: there is no device 'cuda' here; use --device cpu"
