"""node.sh with a real Redis, and a Ray that does nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import redis

from reward_service.client import connect
from tests.machine import free_port
from tests.waiting import wait_until

pytestmark = pytest.mark.redis

DEPLOY = Path(__file__).parents[2] / "deploy"


class Node:
    """A machine with a home and a tree of its own."""

    def __init__(self, folder: Path) -> None:
        self.state, self._tree, self._port = folder / "home" / ".twoclips", folder / "tree", free_port()
        shutil.copytree(DEPLOY, self._tree / "deploy")
        ports = self._tree / "deploy" / "cluster.env"
        ports.write_text(ports.read_text().replace("REDIS_PORT=6380", f"REDIS_PORT={self._port}"))
        programs = {"python": f'exec {sys.executable} "$@"', "ray": "exit 0", "hostname": "echo 127.0.0.2"}
        (self._tree / ".venv" / "bin").mkdir(parents=True)
        for name, does in programs.items():
            program = self._tree / ".venv" / "bin" / name
            program.write_text(f"#!/bin/sh\n{does}\n")
            program.chmod(0o755)

    def __call__(self, command: str) -> None:
        subprocess.run(
            [self._tree / "deploy" / "node.sh", command],
            env={**os.environ, "HOME": str(self.state.parent)},
            check=True,
            timeout=60,
        )

    def redis_process(self) -> int | None:
        """Of the Redis that answers, if one does."""
        with suppress(OSError, redis.ConnectionError):
            password = (self.state / "admin.password").read_text()
            with connect(f"redis://admin:{password}@127.0.0.1:{self._port}") as client:
                return client.info("server")["process_id"]
        return None


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    node = Node(tmp_path)
    yield node
    if process_id := node.redis_process():
        psutil.Process(process_id).kill()


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    """Somebody else's process."""
    with subprocess.Popen(["sleep", "100"]) as process:
        yield process
        process.kill()


def test_after_a_reboot_redis_is_started_though_another_process_has_its_number(
    node: Node, bystander: subprocess.Popen[bytes]
):
    (node.state / "redis").mkdir(parents=True)
    (node.state / "redis" / "redis.pid").write_text(f"{bystander.pid}\n")
    node("head")
    wait_until(lambda: node.redis_process() is not None, 30, "Redis")
    node("stop-redis")
    assert bystander.poll() is None


def test_a_redis_that_runs_is_not_started_again_and_stops_when_it_is_told(node: Node):
    node("head")
    wait_until(lambda: node.redis_process() is not None, 30, "Redis")
    process_id, log = node.redis_process(), (node.state / "redis" / "redis.log").read_text()
    node("head")
    assert node.redis_process() == process_id
    assert (node.state / "redis" / "redis.log").read_text() == log
    node("stop-redis")
    wait_until(lambda: node.redis_process() is None, 30, "its end")
    node("stop-redis")
