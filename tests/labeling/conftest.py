"""A browser, and the pages of a run for it to open."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from labeling.server import PoolConfig, make_app
from reward_service.database import ComparisonDatabase
from tests.labeling.browsing import FEWER_FRAMES, WINDOW, Visit, served
from tests.labeling.pool import HEADERS, TASK, offer_pairs

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
IN_CI = bool(os.environ.get("CI"))

FLAGS = ["--no-sandbox", "--disable-gpu", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing = "Playwright is missing: pip install playwright"
    else:
        missing = "" if CHROMIUM else "Chromium is missing: apt-get install chromium"
    if missing and IN_CI:
        pytest.fail(missing)
    if missing:
        pytest.skip(missing)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def address(database: ComparisonDatabase) -> Iterator[str]:
    with served(database, TASK) as address:
        yield address


@pytest.fixture
def visit(browser: Any, address: str) -> Iterator[Callable[..., Visit]]:
    """Opens tabs; each call is another person (another browser profile), with the options of a Playwright context."""
    visits: list[Visit] = []

    def begin(every_frame: bool = False, **options: Any) -> Visit:
        context = browser.new_context(**{"viewport": WINDOW, **options})
        if not every_frame:
            context.add_init_script(FEWER_FRAMES)
        visits.append(Visit(context, address))
        return visits[-1]

    yield begin
    for one in visits:
        one.context.close()
        assert one.errors == []


@pytest.fixture
def client(database: ComparisonDatabase) -> Iterator[TestClient]:
    """A browser's requests to the pages of a run with four pairs, without a browser."""
    offer_pairs(database, 4)
    app = make_app(PoolConfig(database.run_id, TASK), database.client)
    with TestClient(app, base_url="http://127.0.0.1:8765", headers=HEADERS) as client:
        yield client
