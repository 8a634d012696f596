"""Two nodes with networks of their own run half-cheetah. One's cable is pulled, for a while and for good; its raylet is
stopped, killed, asked to end. The run goes on with the other's worker, and uses the node again when it is back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import pytest

from cluster.run_folder import RunFolder
from reward_service.database import START, ComparisonDatabase, connect
from tests.deploy.loopback_hosts import missing, networks, run
from tests.waiting import wait_until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.ray,
    pytest.mark.redis,
    pytest.mark.timeout(600),
    pytest.mark.skipif(bool(missing()), reason=missing() or "it can run"),
]
RAY = Path(sys.executable).with_name("ray")
ENVIRONMENT = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": uuid.uuid4().hex * 2}


class Node:
    """A host in a network namespace, and its Ray."""

    def __init__(self, space: str, *options: str) -> None:
        self._space, self._options = space, options
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        command = f"hostname {self._space} && mount -t tmpfs tmpfs /tmp/ray && exec {RAY} start --block "
        command += f"--disable-usage-stats {' '.join(self._options)}"
        inside = ["ip", "netns", "exec", self._space, "unshare", "--uts", "--mount", "sh", "-c", command]
        self._process = _popen(inside)

    def popen(self, *command: str, log: Any) -> subprocess.Popen[bytes]:
        """Of a process on this host."""
        assert self._process is not None
        return _popen(["nsenter", f"--target={self._process.pid}", "--net", "--uts", "--mount", *command], log)

    def cable(self, state: str) -> None:
        run("ip", "link", "set", f"{self._space}o", state)

    def raylet(self) -> psutil.Process:
        assert self._process is not None
        family = psutil.Process(self._process.pid).children(recursive=True)
        return next(process for process in family if process.name() == "raylet")

    def is_up(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def end(self) -> None:
        if self._process is None:
            return
        family = [*psutil.Process(self._process.pid).children(recursive=True)] if self.is_up() else []
        for each in family:
            with suppress(psutil.Error):
                each.kill()
        self._process.kill()
        self._process.wait()


def _popen(command: list[str], log: Any = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, stdout=log, stderr=log, env=ENVIRONMENT)


@pytest.fixture
def nodes() -> Iterator[tuple[Node, Node, str]]:
    """The head, the other, and the address of Ray."""
    Path("/tmp/ray").mkdir(exist_ok=True)  # each mounts its own there
    with networks(2) as [(first, head_ip), (second, other_ip)]:
        address = f"{head_ip}:6379"
        head = Node(first, "--head", f"--node-ip-address={head_ip}", "--num-cpus=2", "--include-dashboard=false")
        time.sleep(8)
        other = Node(second, f"--address={address}", f"--node-ip-address={other_ip}", "--num-cpus=2")
        try:
            yield head, other, address
        finally:
            other.end()
            head.end()


class Run:
    """A training on the head that takes every core of the cluster but the learner's."""

    def __init__(self, head: Node, address: str, redis_url: str, folder: Path) -> None:
        self.path, self._log = folder / "run", folder / "log"
        command = [sys.executable, "-m", "cluster.cli", "train", "half-cheetah", "--labels", "700"]
        command += ["--steps", "100000000", "--set=loop.checkpoint_steps=1000000"]
        command += ["--address", address, "--redis", redis_url, "--run", str(self.path)]
        with self._log.open("w") as log:
            self._process = head.popen(*command, log=log)

    def rows(self) -> list[dict[str, Any]]:
        return RunFolder.open(self.path).read_metrics() if (self.path / "config.toml").exists() else []

    def events(self) -> str:
        return (self.path / "events.log").read_text()

    def until_workers(self, number: int, within_s: float) -> float:
        """Seconds until an update was made of rollouts of so many workers."""
        return wait_until(lambda: bool(rows := self.rows()) and rows[-1]["workers"] == number, within_s)

    def longest_pause_s(self, since: int) -> float:
        """The longest time without an update since there were so many."""
        return max(b["wall_s"] - a["wall_s"] for a, b in pairwise(self.rows()[since - 1 :]))

    def end(self) -> None:
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(60)
        self._process.kill()
        self._process.wait()
        print(self._log.read_text()[-3000:])


@pytest.fixture
def training(nodes: tuple[Node, Node, str], redis_url: str, tmp_path: Path) -> Iterator[Run]:
    """Three workers are at work: a core of the head is the learner's."""
    head, _, address = nodes
    run = Run(head, address, redis_url, tmp_path)
    try:
        run.until_workers(3, 120)
        yield run
    finally:
        run.end()


def test_a_node_that_is_cut_off_is_not_missed_and_is_used_when_it_is_back(
    nodes: tuple[Node, Node, str], training: Run
) -> None:
    _, other, _ = nodes
    before = len(training.rows())
    other.cable("down")
    print(f"cut off: {training.until_workers(1, 10):.1f} s until the others went on alone")
    time.sleep(10)
    other.cable("up")
    print(f"plugged in after 10 s: {training.until_workers(3, 30):.1f} s until all three were at work")
    other.cable("down")
    wait_until(lambda: not other.is_up() or "has left" in training.events(), 120)
    training.until_workers(1, 10)
    other.end()
    other.cable("up")
    other.start()
    print(f"plugged in after Ray gave it up: {training.until_workers(3, 60):.1f} s from `ray start` on")
    assert "the labeling is started again" not in training.events(), "what is beside the driver was cut off, too"
    assert "the reward service is started again" not in training.events()
    print(f"longest time without an update: {training.longest_pause_s(before):.1f} s")
    assert training.longest_pause_s(before) < 10  # the bar is 5, which a machine with much else to do may miss
    assert training.rows()[-1]["policy_lag_max"] == 1


@pytest.mark.parametrize("harm", [signal.SIGSTOP, signal.SIGKILL, signal.SIGTERM], ids=lambda harm: harm.name)
def test_what_befalls_a_raylet_is_not_felt_for_long(
    nodes: tuple[Node, Node, str], training: Run, redis_url: str, harm: signal.Signals
) -> None:
    _, other, _ = nodes
    client = connect(redis_url)
    database = ComparisonDatabase(client, RunFolder.open(training.path).run_id)
    before, stored = len(training.rows()), label_ids(database)
    raylet = other.raylet()
    raylet.send_signal(harm)
    if harm == signal.SIGSTOP:
        time.sleep(5)
        raylet.resume()
    else:
        training.until_workers(1, 30)
        other.end()  # what is left of it
        other.start()
    print(f"{harm.name}: {training.until_workers(3, 60):.1f} s until all three were at work")
    steps = training.rows()[-1]["agent_steps"]
    wait_until(lambda: training.rows()[-1]["agent_steps"] > steps + 20_000, 30)
    print(f"longest time without an update: {training.longest_pause_s(before):.1f} s")
    assert training.longest_pause_s(before) < 10  # the bar is 5, which a machine with much else to do may miss
    steps = [row["agent_steps"] for row in training.rows()]
    assert steps == sorted(set(steps)), "no step was done again"
    assert stored
    assert stored <= label_ids(database)
    client.close()


def label_ids(database: ComparisonDatabase) -> set[str]:
    return {label.label_id for label in database.labels_since(START)[0]}
