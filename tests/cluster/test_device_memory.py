"""A GPU that runs out of memory ends a run with what to lower, and the run goes on from there."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from cluster.components import RunSpec, build_reward_service
from cluster.device_memory import DeviceMemoryError, device_memory
from cluster.errors import exit_code, sentence
from cluster.hosts import ServiceHost
from cluster.run_folder import RunFolder
from learners.ppo import PPO
from learners.relabel import Relabeler
from reward_service.database import ComparisonDatabase
from reward_service.trainer import RewardTrainer
from tests.cluster.runs import SMALL, small_config
from tests.waiting import wait_until

OUT_OF_MEMORY = "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 8.00 GiB."


def after(calls: int, works: Callable[..., Any]) -> Callable[..., Any]:
    """`works`, but so many calls later there is no memory."""
    left = iter(range(calls))

    def method(*arguments: Any, **named: Any) -> Any:
        if next(left, None) is None:
            raise torch.OutOfMemoryError(OUT_OF_MEMORY)
        return works(*arguments, **named)

    return method


@pytest.mark.redis
@pytest.mark.parametrize(
    ("component", "method", "calls", "part", "setting"),
    [
        (PPO, "update", 2, "the policy update", "ppo.minibatch"),
        (Relabeler, "relabel", 2, "relabelling", "rollout.num_envs"),
        (RewardTrainer, "step", 4, "reward training", "reward.batch_pairs"),
    ],
)
def test_the_gpu_is_full_and_the_run_says_what_to_lower_and_then_goes_on(
    twoclips: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    component: type,
    method: str,
    calls: int,
    part: str,
    setting: str,
) -> None:
    small = {**SMALL, "steps": 1024, "loop.checkpoint_steps": 512}
    settings = [f"--set={name}={value}" for name, value in small.items()]
    with monkeypatch.context() as patch:
        patch.setattr(component, method, after(calls, getattr(component, method)))
        done = twoclips("train", "pendulum", "--in-process", "--run", "run", *settings)
    assert done.code == 1
    assert "Traceback" not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(
        f"twoclips: the GPU's memory is too small for {part}; lower {setting} (it is {SMALL[setting]})"
    )
    assert last.endswith(f"with --resume --set {setting}=..., or with --resume --set loop.device=cpu")

    done = twoclips("train", "pendulum", "--run", "run", "--resume", "--set", f"{setting}={SMALL[setting] // 2}")
    assert done.code == 0, done.stderr
    assert "resuming at 512 agent steps" in done.stderr
    assert RunFolder.open(tmp_path / "run").read_metrics()[-1]["agent_steps"] == 1024


def test_a_setting_of_another_algorithm_is_not_named() -> None:
    with (
        pytest.raises(DeviceMemoryError, match=r"lower rollout.num_envs \(it is 4\) or rollout.steps"),
        device_memory("the policy update", small_config(algorithm="a2c")),
    ):
        raise torch.OutOfMemoryError(OUT_OF_MEMORY)


def test_where_no_part_says_what_to_lower_it_is_still_one_sentence() -> None:
    error = torch.OutOfMemoryError(OUT_OF_MEMORY)
    assert exit_code(error) == 1
    assert sentence(error).startswith("the GPU's memory does not suffice (CUDA out of memory); ")


@pytest.mark.redis
def test_a_reward_service_in_a_process_of_its_own_ends_with_the_same_sentence(
    database: ComparisonDatabase, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its host is what stands in that process; what it says it failed by ends the run (test_ray_services.py)."""
    monkeypatch.setattr(os, "nice", lambda _: 0)  # of the process of the tests
    monkeypatch.setattr(RewardTrainer, "step", after(0, RewardTrainer.step))
    config = small_config()
    host = ServiceHost(RunSpec(config, config.make_task(), redis_url, database.run_id), build_reward_service)
    host.begin()
    wait_until(lambda: bool(host.status()["failure"]), 20)
    text = host.status()["failure"]
    assert text.startswith("the GPU's memory is too small for reward training; lower reward.batch_pairs (it is 8)")
    assert text.count("continue with") == 1
    assert host.status()["traceback"] == "", "it is no defect"
