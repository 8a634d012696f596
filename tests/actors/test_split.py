"""Worlds in several processes are those of one, and none of the processes is left behind. The Counter world is
found by the processes in its module."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields, replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from actors.environments import make_environments, simulator_of
from actors.policy import ActorCritic, PolicyConfig
from actors.rollout import RolloutConfig, RolloutWorker
from actors.simulators import EnvironmentFailure
from actors.split import SplitSimulator
from actors.tasks import Task, make_task
from tests.machine import lives
from tests.waiting import wait_until

POLICY = PolicyConfig(hidden=(8,), torso="mnih-2013")


def with_horizon(name: str, horizon: int) -> Task:
    task = make_task(name)
    return replace(task, preset=replace(task.preset, horizon=horizon))


@pytest.fixture
def counting() -> Iterator[SplitSimulator]:
    """Five Counters in two processes."""
    simulator = split("tests.actors.counters:TwoclipsCounter-v0", 5)
    yield simulator
    simulator.close()


def split(name: str, num_envs: int) -> SplitSimulator:
    task = make_task(name)
    return SplitSimulator(partial(simulator_of, task, 0), task, num_envs, cores=2)


def stepped(simulator: SplitSimulator, steps: int) -> None:
    for _ in range(steps):
        simulator.step(np.zeros((simulator.num_envs, 1)))


def assert_same(one: Any, other: Any) -> None:
    """All fields of two records, down to the last bit."""
    for field in fields(one):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if hasattr(a, "__dataclass_fields__"):
            assert_same(a, b)
        else:
            np.testing.assert_array_equal(a, b, err_msg=field.name)


@pytest.mark.parametrize("name", ["breakout", "CartPole-v1", "MountainCarContinuous-v0", "hopper", "ant"])
def test_a_rollout_is_the_same_on_any_number_of_cores(name: str) -> None:
    """Five worlds on three cores; episodes end by the clock, and games by themselves."""
    task = with_horizon(name, 170)
    policy = ActorCritic(POLICY, task.observation_shape, task.action)
    last = policy.actor[-1]
    assert isinstance(last, torch.nn.Linear)
    with torch.no_grad():
        last.bias[1 if task.action.num_choices > 1 else 0] += 1.0  # in Breakout to serve: balls are soon lost
    workers = [RolloutWorker(task, POLICY, RolloutConfig(5, 45, cores), worker=0, seed=3) for cores in (1, 3)]
    num_games, num_ends = 0, 0
    for version in range(4):
        (one, one_hidden), (other, other_hidden) = (worker.step(policy.export(version)) for worker in workers)
        assert_same(one, other)
        assert_same(one_hidden, other_hidden)
        num_games += 0 if one_hidden.games is None else len(one_hidden.games)
        num_ends += len(one.ends)
    assert num_ends >= 5
    assert (num_games > 0) == (name == "breakout")
    for worker in workers:
        worker.close()


def test_what_an_environment_raises_is_told_as_in_one_process() -> None:
    simulator = split("tests.actors.counters:TwoclipsCounterRaises-v0", 2)
    simulator.reset(np.arange(2))
    with pytest.raises(EnvironmentFailure, match=r"CounterRaises-v0 raised ArithmeticError: the wheel fell off\."):
        stepped(simulator, 5)
    simulator.close()


def test_an_environment_that_a_process_does_not_find_is_told() -> None:
    task = replace(make_task("CartPole-v1"), environment_id="TwoclipsNobodyKnows-v0")
    with pytest.raises(EnvironmentFailure, match=r"a process that steps environments failed: NameNotFound: .*Nobody"):
        make_environments(task, 2, seed=0, cores=2)


def test_a_process_that_is_killed_is_told_in_one_sentence(counting: SplitSimulator) -> None:
    counting.reset(np.arange(5))
    os.kill(counting.process_ids[1], signal.SIGKILL)
    with pytest.raises(
        EnvironmentFailure, match=r"stepped 3 environments of .*Counter-v0 has ended with signal 9; if"
    ) as told:
        stepped(counting, 2)
    assert "\n" not in str(told.value)


def test_ctrl_c_is_the_parents_to_hear(counting: SplitSimulator) -> None:
    for process_id in counting.process_ids:
        os.kill(process_id, signal.SIGINT)
    counting.reset(np.arange(5))
    assert counting.observe()[:, 0].tolist() == [0.0] * 5


def test_nothing_is_left_once_it_is_closed(counting: SplitSimulator) -> None:
    started = counting.process_ids
    assert len(started) == 2
    assert all(lives(process_id) for process_id in started)
    counting.close()
    assert not any(lives(process_id) for process_id in started)
    counting.close()  # again: nothing


def test_a_process_that_does_not_answer_is_ended_by_force(
    counting: SplitSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.split._CLOSE_S", 0.2)
    started = counting.process_ids
    os.kill(started[0], signal.SIGSTOP)
    counting.close()
    assert not any(lives(process_id) for process_id in started)


PARENT = """
import time
from actors.environments import make_environments
from actors.tasks import make_task
world = make_environments(make_task("CartPole-v1"), 4, seed=0, cores=2)
print(*world._simulator.process_ids, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_they_end_with_their_parent_however_that_ends(how: signal.Signals) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert parent.stdout is not None
    started = [int(word) for word in parent.stdout.readline().split()]
    assert len(started) == 2
    assert all(lives(process_id) for process_id in started)
    parent.send_signal(how)
    parent.wait()
    wait_until(lambda: not any(lives(process_id) for process_id in started), what="the end of both")
    parent.stdout.close()


def test_its_processes_import_no_torch() -> None:
    code = "import sys, actors.environments, actors.split; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
