"""A run on a real local Ray, as its user starts it, and what happens to it when parts of it are killed.

The run is one for all tests of this file, since a Ray takes longer to start than any of them: each harms it and sees it
recover, and the last ends it.
"""

from __future__ import annotations

import json
import pickle
import re
import shutil
import signal
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import ray
import redis

from actors.policy import ActorCritic
from cluster import runner
from cluster.components import RunSpec, build_worker
from cluster.exchange import open_database
from cluster.launch import OBJECT_STORE_BYTES, object_store_bytes, round_bytes, topology
from cluster.run_status import read_status
from cluster.settings import replaced
from cluster.trained import load_policy, load_reward
from reward_service.database import START
from tests.cluster.runs import SMALL, config_of, train
from tests.local_run import UNHURRIED, LocalRun
from tests.machine import lives, process_of
from tests.waiting import wait_until

pytestmark = [
    pytest.mark.redis,
    pytest.mark.ray,
    pytest.mark.timeout(240),
    pytest.mark.filterwarnings("ignore"),  # Ray's own
]
WORKER, SERVICES = "rollout worker 0", ("labeling", "reward service")
# Labels come for as long as the run goes on, which is until it is stopped; with more steps not every update had a row.
ENDLESS = {
    **SMALL,
    "steps": 2_500_000,
    "labels": 2_000,
    "query.initial_fraction": 0.01,
    "loop.checkpoint_steps": 1_000_000,
    "supervision.stuck_s": 8.0,
}


def spec_of(task: str, **settings: Any) -> RunSpec:
    config = config_of(task, labeler="none", **settings)
    return RunSpec(config, config.make_task(), "", "test")


@pytest.mark.parametrize(("task", "steps"), [("pong", 256), ("pong", 5), ("ant", 256), ("Humanoid-v5", 256)])
def test_the_size_of_a_round_is_at_least_that_of_its_rollouts(task: str, steps: int) -> None:
    spec = spec_of(task, workers=2, rollout__num_envs=2, rollout__steps=steps, ppo__minibatch=2)
    policy = ActorCritic(spec.config.policy, spec.task.observation_shape, spec.task.action)
    worker = build_worker(spec, 0)
    rollout = pickle.dumps(worker.step(policy.export(0)))
    worker.close()
    assert 2 * len(rollout) <= round_bytes(spec)
    assert round_bytes(spec) <= 2.5 * 2 * len(rollout)


def test_the_object_store_has_room_for_the_rollouts_as_far_as_memory_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    def machine(memory_bytes: int, shared_bytes: int) -> None:
        monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(total=memory_bytes))
        monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=shared_bytes))

    pictures = spec_of("pong", workers=64, rollout__num_envs=64, rollout__steps=64 * 64)
    wanted = 4 * round_bytes(pictures)
    machine(6 * wanted, 2 * wanted)
    assert object_store_bytes(pictures) == wanted > OBJECT_STORE_BYTES
    assert object_store_bytes(spec_of("half-cheetah", workers=2)) == OBJECT_STORE_BYTES
    machine(6 * wanted, wanted // 2)
    assert object_store_bytes(pictures) == wanted // 2
    machine(wanted, wanted)
    assert object_store_bytes(pictures) == wanted // 3
    machine(wanted, 64 << 20)  # of Docker, as it comes
    assert object_store_bytes(pictures) == OBJECT_STORE_BYTES


def test_a_ray_of_our_own_is_started_with_that_store(monkeypatch: pytest.MonkeyPatch) -> None:
    class StartedError(Exception): ...

    def init(**settings: Any) -> None:
        raise StartedError(settings["object_store_memory"])

    monkeypatch.setattr(ray, "init", init)
    spec = spec_of("pong", workers=64, rollout__num_envs=64, rollout__steps=64 * 64)
    with pytest.raises(StartedError) as started, ExitStack() as stack:
        runner._components(spec, stack, lambda *_: None)
    assert started.value.args == (object_store_bytes(spec),)


def test_rollout_workers_are_given_no_password_of_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[tuple[Any, ...]] = []

    def remote(**_: Any) -> Any:
        return lambda kind: SimpleNamespace(remote=lambda *arguments: given.append((kind.__name__, *arguments)))

    monkeypatch.setattr(ray, "remote", remote)
    url = "redis://:secret@127.0.0.1:6379"
    config = config_of("cart-pole", labeler="none", workers=2, redis=url)
    topology(RunSpec(config, config.make_task(), url, "test", url))
    assert [name for name, *_ in given] == ["RolloutHost", "RolloutHost"]
    assert b"secret" not in pickle.dumps(given)
    assert given[0][1].config.rollout == config.rollout


class EndlessRun(LocalRun):
    """Goes on until it is stopped."""

    def begin(self) -> None:
        settings = (f"--set={name}={value}" for name, value in ENDLESS.items())
        # A run without an address must not look for a cluster that this machine is said to be part of.
        self.start(UNHURRIED, "--workers", "1", *settings, RAY_ADDRESS="127.0.0.1:1")
        wait_until(lambda: self.said("agent_steps") >= 256 or not self.is_alive(), 200)
        self.expect_alive()

    def goes_on(self) -> None:
        """Wait until it has made three more updates from now: two may have been on their way."""
        steps = self.said("agent_steps")
        wait_until(lambda: self.said("agent_steps") >= steps + 3 * 256, what="the run to go on")


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EndlessRun]:
    run = EndlessRun(tmp_path_factory.mktemp("launch") / "run")
    try:
        run.begin()
        yield run
    finally:
        run.end()


@pytest.fixture
def run(started: EndlessRun) -> Iterator[EndlessRun]:
    """It goes on after the test, as it did after the one before."""
    assert started.is_alive(), "a test before ended it"
    yield started
    if started.is_alive():
        started.goes_on()


def test_the_three_loops_run_at_once(run: EndlessRun) -> None:
    labels, version = run.said("labels"), run.said("reward_version")
    wait_until(lambda: run.said("labels") > labels and run.said("reward_version") > version)
    assert run.said("policy_lag_max") == 1
    assert {part["name"] for part in read_status(run.folder)["components"]} == {"Redis", WORKER, *SERVICES}


def test_nobody_outside_this_machine_can_reach_it(run: EndlessRun) -> None:
    processes = [run.driver(), *run.driver().children(recursive=True)]
    listening = []
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            listening += [at.laddr.ip for at in process.net_connections("inet") if at.status == psutil.CONN_LISTEN]
    assert len(listening) > 2, "Ray's own"
    assert set(listening) <= {"127.0.0.1", "::ffff:127.0.0.1", "::1"}


def test_a_killed_rollout_worker_is_replaced(run: EndlessRun) -> None:
    replaced = run.said("workers_replaced")
    process_of(run.folder, WORKER).kill()
    wait_until(lambda: run.said("workers_replaced") > replaced)


def test_killed_services_come_back_and_go_on(run: EndlessRun) -> None:
    restarted = run.said("services_restarted")
    for part in SERVICES:
        process_of(run.folder, part).kill()
    wait_until(lambda: run.said("services_restarted") >= restarted + 2)
    labels, version = run.said("labels"), run.said("reward_version")
    wait_until(lambda: run.said("labels") > labels and run.said("reward_version") > version)


def test_a_killed_redis_is_started_again_and_no_label_is_lost(run: EndlessRun) -> None:
    failures = run.said("redis_failures")
    with open_database(run.path) as database:  # the run's own server is asked, and another in its place

        def label_ids() -> set[str]:
            with suppress(redis.ConnectionError, redis.TimeoutError):
                return {label.label_id for label in database.labels_since(START, 100_000)[0]}
            return set()

        before = label_ids()
        process_of(run.folder, "Redis").kill()
        wait_until(lambda: run.said("redis_failures") > failures)
        wait_until(lambda: len(label_ids()) > len(before), what="labels to come again")
        assert before < label_ids()


def test_what_is_alive_and_does_nothing_is_ended_and_started_again(run: EndlessRun) -> None:
    replaced, restarted = run.said("workers_replaced"), run.said("services_restarted")
    stopped = [process_of(run.folder, part) for part in (WORKER, "reward service")]
    for process in stopped:
        process.suspend()
    wait_until(lambda: run.said("workers_replaced") > replaced and run.said("services_restarted") > restarted)
    wait_until(lambda: not any(lives(process.pid) for process in stopped), 20)
    assert f"the {WORKER} is started again: it had done nothing for" in (run.path / "events.log").read_text()
    wait_until(lambda: process_of(run.folder, WORKER) not in stopped, 20)
    told = {part["name"]: part for part in json.loads((run.path / "status.json").read_text())["components"]}
    assert "done nothing" in told[WORKER]["why"]


def test_a_signal_to_stop_checkpoints_and_the_run_resumes_and_nothing_is_left_behind(run: EndlessRun) -> None:
    """SIGTERM, for which Ray has a handler of its own; that Ctrl-C does the same is seen where a run is one of several
    nodes."""
    processes = [run.driver(), *run.driver().children(recursive=True)]
    run.end(signal.SIGTERM)
    assert run.process.returncode == 1
    assert re.search(
        rf"stopped at [\d,]+ agent steps; go on with `twoclips train {UNHURRIED} .*--resume`", run.printed()
    )
    stopped_at = run.said("agent_steps")
    wait_until(lambda: not any(lives(process.pid) for process in processes), 20, "all its processes to end")
    for load in (load_policy, load_reward):  # it can be used elsewhere, as that of a run in one process
        assert load(run.folder, run.folder.config.make_task())[0] == stopped_at
    rows = run.folder.read_metrics()
    few_more = {"steps": stopped_at + 512, "labels": int(rows[-1]["labels"]) + 4}
    run.folder.change(replaced(run.folder.config, few_more))
    before = set(psutil.Process().children(recursive=True))
    summary = train(run.path)
    assert {name: summary[name] for name in few_more} == few_more
    assert run.folder.read_metrics()[: len(rows)] == rows
    started = set(psutil.Process().children(recursive=True)) - before
    wait_until(lambda: not any(lives(process.pid) for process in started), 20, "all its processes to end")
