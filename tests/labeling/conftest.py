"""A browser, and the pages of a run for it to open."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from starlette.testclient import TestClient

from labeling.server import PoolConfig, make_app
from reward_service.database import ComparisonDatabase
from tests.labeling.browsing import Visit, person, served
from tests.labeling.chromium import chromium, close_chromium
from tests.labeling.pool import HEADERS, TASK, offer_pairs


@pytest.fixture
def browser() -> Any:
    return chromium()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(nextitem: pytest.Item | None) -> Generator[None, None, None]:
    try:
        return (yield)
    finally:
        if nextitem is None or not nextitem.get_closest_marker("browser"):
            close_chromium()


@pytest.fixture
def address(database: ComparisonDatabase, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr("labeling.server.EVENTS_EVERY_S", 0.2)
    with served(database, TASK) as address:
        yield address


@pytest.fixture
def visit(browser: Any, address: str) -> Iterator[Callable[..., Visit]]:
    """Opens tabs; each call is another person, with the options of `person`."""
    with ExitStack() as visits:
        yield lambda **options: visits.enter_context(person(browser, address, **options))


@pytest.fixture
def client(database: ComparisonDatabase) -> Iterator[TestClient]:
    """A browser's requests to the pages of a run with four pairs, without a browser."""
    offer_pairs(database, 4)
    app = make_app(PoolConfig(database.run_id, TASK), database.client)
    with TestClient(app, base_url="http://127.0.0.1:8765", headers=HEADERS) as client:
        yield client
