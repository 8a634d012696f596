"""The shipped files, and a Redis as a cluster has it: with redis.conf and a user for each role."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import redis

from cluster.redis_server import find_server
from reward_service.client import connect
from tests.waiting import wait_until

DEPLOY = Path(__file__).parents[2] / "deploy"


@pytest.fixture(scope="session")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that secrets.sh makes."""
    folder = tmp_path_factory.mktemp("secrets")
    subprocess.run([DEPLOY / "secrets.sh", folder], check=True)
    return folder


@pytest.fixture(scope="session")
def address_of(secrets: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], str]]:
    """Address of a Redis under redis.conf and users.acl, by role; on a socket in place of the port."""
    folder = tmp_path_factory.mktemp("acl")
    socket = folder / "redis.sock"
    arguments = ["--port", "0", "--unixsocket", socket, "--dir", folder, "--aclfile", secrets / "users.acl"]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen([find_server(), DEPLOY / "redis.conf", *map(str, arguments)], stdout=log)

    def address(role: str) -> str:
        return f"unix://{role}:{(secrets / f'{role}.password').read_text()}@{socket}"

    def answers() -> bool:
        with suppress(redis.ConnectionError), connect(address("admin")) as client:
            return bool(client.ping())
        return False

    try:
        wait_until(answers, 30, "Redis under deploy/redis.conf to answer")
        yield address
    finally:
        server.terminate()
        server.wait()
