"""Fixtures that need a Redis server: one private server for the session, one run of its own for each test."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from cluster.redis_server import PrivateRedis
from reward_service.database import ComparisonDatabase, connect


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with PrivateRedis(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture
def database(redis_url: str) -> Iterator[ComparisonDatabase]:
    client = connect(redis_url)
    yield ComparisonDatabase(client, f"test-{uuid.uuid4().hex}")
    client.close()
