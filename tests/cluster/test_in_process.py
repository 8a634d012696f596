"""Acting beside learning, in one process: the same run, and nothing is left behind."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch

from actors.policy import ActorCritic
from actors.rollout import RolloutWorker
from actors.simulators import EnvironmentFailure
from actors.split import SplitSimulator
from actors.weights import PolicyWeights
from cluster import in_process
from cluster.bench_parts import spec_of
from cluster.config import RunConfig
from cluster.device_memory import DeviceMemoryError
from cluster.in_process import LocalPool
from cluster.interfaces import ASIDES
from cluster.run_folder import RunFolder
from cluster.settings import replaced
from tests.cluster.runs import SMALL, small_config, train
from tests.cluster.test_training import curve
from tests.machine import lives
from tests.waiting import wait_until


@pytest.mark.redis
@pytest.mark.parametrize("task", ["pendulum", "cart-pole"])
def test_a_run_is_the_same_whether_it_acts_beside_learning_or_before(tmp_path: Path, task: str) -> None:
    """The pendulum is stepped by threads of MuJoCo's, cart-poles by two processes."""
    for cores in (1, 2):
        half_way = {"steps": 1024, "loop__checkpoint_steps": 512}
        train(tmp_path / str(cores), small_config(task, seed=3, rollout__cores=cores, **half_way))
    assert len(curve(tmp_path / "1")) == 4
    assert curve(tmp_path / "1") == curve(tmp_path / "2")
    assert not {*ASIDES} & {*RunFolder.open(tmp_path / "1").read_metrics()[-1]}
    assert left_behind() == []


def left_behind() -> list[Any]:
    acting = [thread for thread in threading.enumerate() if thread.name == "acting"]
    return [*acting, *multiprocessing.active_children()]


def weights_for(config: RunConfig) -> PolicyWeights:
    task = config.make_task()
    return ActorCritic(config.policy, task.observation_shape, task.action).export(0)


@pytest.fixture
def config() -> RunConfig:
    """Of 4 cart-poles in two processes."""
    return small_config("CartPole-v1", labeler="none", rollout__cores=2)


@pytest.fixture
def pool(config: RunConfig) -> Iterator[LocalPool]:
    pool = LocalPool(spec_of(config, config.make_task()))
    yield pool
    pool.close()


def test_what_is_gathered_is_what_was_submitted(pool: LocalPool, config: RunConfig) -> None:
    pool.submit(weights_for(config))
    (rollout, _), *others = pool.gather()
    assert others == []
    assert (rollout.policy_version, rollout.num_steps, rollout.first_step) == (0, 256, 0)


def test_after_a_restart_episodes_are_those_of_its_generation(pool: LocalPool, config: RunConfig) -> None:
    weights = weights_for(config)
    seen: list[np.ndarray] = []
    for generation in (0, 1, 0):
        pool.restart(generation)
        pool.submit(weights)
        seen.append(pool.gather()[0][0].observations)
        pool.submit(weights)  # in flight when the next restart comes
    np.testing.assert_array_equal(seen[0], seen[2])
    assert (seen[0] != seen[1]).any()


def test_what_the_world_fails_with_is_raised_by_gather() -> None:
    broken = small_config(
        "tests.actors.counters:TwoclipsCounterRaises-v0", labeler="none", rollout__cores=2, clip_steps=1
    )
    pool = LocalPool(spec_of(broken, broken.make_task()))
    pool.submit(weights_for(broken))
    with pytest.raises(EnvironmentFailure, match="ArithmeticError: the wheel fell off"):
        pool.gather()
    pool.close()
    assert left_behind() == []


def test_a_gpu_too_small_for_acting_is_told_with_what_to_lower(
    monkeypatch: pytest.MonkeyPatch, pool: LocalPool, config: RunConfig
) -> None:
    def out_of_memory(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(RolloutWorker, "step", out_of_memory)
    pool.submit(weights_for(config))
    with pytest.raises(DeviceMemoryError, match=r"too small for acting; lower rollout\.num_envs .*rollout\.device=cpu"):
        pool.gather()


def test_closing_it_ends_what_is_under_way(config: RunConfig) -> None:
    long = replaced(config, {"rollout.steps": 50_000})  # half a minute of it
    pool = LocalPool(spec_of(long, long.make_task()))
    pool.submit(weights_for(long))
    under_way = left_behind()
    pool.close()
    assert len(under_way) == 3
    assert left_behind() == []
    pool.close()  # again: nothing


def test_a_world_that_hangs_does_not_keep_the_run_from_ending(
    monkeypatch: pytest.MonkeyPatch, config: RunConfig
) -> None:
    monkeypatch.setattr(in_process, "_STOP_S", 0.3)
    monkeypatch.setattr("actors.split._CLOSE_S", 0.3)
    step = SplitSimulator.step

    def hang(self: SplitSimulator, actions: np.ndarray) -> np.ndarray:
        os.kill(self.process_ids[0], signal.SIGSTOP)
        return step(self, actions)

    monkeypatch.setattr(SplitSimulator, "step", hang)
    pool = LocalPool(spec_of(config, config.make_task()))
    pool.submit(weights_for(config))
    hanging = multiprocessing.active_children()
    wait_until(
        lambda: any(psutil.Process(each.pid).status() == psutil.STATUS_STOPPED for each in hanging),
        what="a hanging world",
    )
    pool.close()
    assert left_behind() == []


def test_ctrl_c_in_the_terminal_ends_the_run_and_all_its_processes(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "cluster.cli", "train", "cart-pole", "--in-process", "--labeler", "none"]
    settings = {**SMALL, "steps": 9_000_000, "rollout.cores": 2}
    command += ["--run", str(tmp_path / "run"), *(f"--set={name}={value}" for name, value in settings.items())]
    run = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    metrics = tmp_path / "run" / "metrics.jsonl"
    wait_until(lambda: metrics.exists() and bool(metrics.read_text()), what="the first update")
    started = [child.pid for child in psutil.Process(run.pid).children(recursive=True)]
    assert len(started) >= 2
    os.killpg(run.pid, signal.SIGINT)  # as a terminal does: everybody in it
    _, told = run.communicate(timeout=60)
    assert run.returncode == 1
    assert "--resume" in told
    assert "Traceback" not in told
    wait_until(lambda: not any(lives(process_id) for process_id in started), what="the end of all")
