"""Fixtures that need a Redis server: one private server for the session, one run of its own for each test.

`make test` runs three tests at a time (pytest-xdist). Those that draw in a browser, and those that start a Ray, each
need a core and more: they never run beside their like.

Under CI hypothesis tries the same examples every time: a change is judged by what it changes, not by luck.
"""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Iterator

import pytest
import torch
from hypothesis import settings

from cluster.redis_server import PrivateRedis
from reward_service.database import ComparisonDatabase, connect

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in a shell's background, and inherited by what tests start:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # those that press Ctrl-C would wait for ever

torch.set_num_threads(1)  # tests run three at a time, and what they multiply is small

settings.register_profile("ci", derandomize=True, deadline=None)
settings.register_profile("local", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "local")


@pytest.hookimpl(tryfirst=True)  # before xdist looks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for heavy in ("browser", "ray"):
            if item.get_closest_marker(heavy):
                item.add_marker(pytest.mark.xdist_group(heavy))


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """What a test draws from torch's own generator does not depend on the tests before it."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with PrivateRedis(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture
def database(redis_url: str) -> Iterator[ComparisonDatabase]:
    client = connect(redis_url)
    yield ComparisonDatabase(client, f"test-{uuid.uuid4().hex}")
    client.close()
