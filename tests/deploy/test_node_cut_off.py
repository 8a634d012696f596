"""Two nodes with networks of their own run half-cheetah. One's cable is pulled, for a while and for good."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import pytest

from cluster.run_folder import RunFolder
from tests.deploy.loopback_hosts import missing, networks, run

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


def rows(path: Path) -> list[dict[str, Any]]:
    return RunFolder.open(path).read_metrics() if (path / "config.toml").exists() else []


def wait_until(holds: Callable[[], bool], within_s: float) -> float:
    """Seconds that it took."""
    begin = time.monotonic()
    while not holds():
        assert time.monotonic() - begin < within_s, f"waited {within_s} s"
        time.sleep(0.1)
    return time.monotonic() - begin


def test_a_node_that_is_cut_off_is_not_missed_and_is_used_when_it_is_back(
    nodes: tuple[Node, Node, str], redis_url: str, tmp_path: Path
) -> None:
    head, other, address = nodes
    path = tmp_path / "run"
    log = (tmp_path / "log").open("w")
    command = [sys.executable, "-m", "cluster.cli", "train", "half-cheetah", "--steps", "100000000", "--labels", "700"]
    command += ["--address", address, "--redis", redis_url, "--run", str(path), "--set=loop.checkpoint_steps=1000000"]
    train = head.popen(*command, log=log)

    def workers(number: int) -> Callable[[], bool]:
        return lambda: bool(rows(path)) and rows(path)[-1]["workers"] == number

    try:
        wait_until(workers(3), 120)  # a core of the head is the learner's
        told = [f"three workers, {rows(path)[-1]['agent_steps']:,} steps"]
        before = len(rows(path))
        other.cable("down")
        told.append(f"cut off: {wait_until(workers(1), 10):.1f} s until the others went on alone")
        time.sleep(10)
        other.cable("up")
        told.append(f"plugged in after 10 s: {wait_until(workers(3), 30):.1f} s until all three were at work")
        other.cable("down")
        wait_until(lambda: not other.is_up() or "has left" in (path / "events.log").read_text(), 120)
        wait_until(workers(1), 10)
        other.end()
        other.cable("up")
        other.start()
        told.append(f"plugged in after Ray gave it up: {wait_until(workers(3), 60):.1f} s from `ray start` on")
        events = (path / "events.log").read_text()
        assert "the labeling is started again" not in events, "what is beside the driver was cut off, too"
        assert "the reward service is started again" not in events
        longest_s = max(b["wall_s"] - a["wall_s"] for a, b in pairwise(rows(path)[before - 1 :]))
        told.append(f"longest time without an update since: {longest_s:.1f} s")
        print("\n".join(told))
        assert longest_s < 5
        assert rows(path)[-1]["policy_lag_max"] == 1
    finally:
        train.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            train.wait(60)
        train.kill()
        log.close()
        print((tmp_path / "log").read_text()[-3000:])
