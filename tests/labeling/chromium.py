"""The one Chromium of all browser tests that follow each other: it takes as long to start as a short test."""

from __future__ import annotations

import os
import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NoReturn

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
IN_CI = bool(os.environ.get("CI"))

LEAN = Path(__file__).with_suffix(".sh")
FLAGS = ["--no-sandbox", "--disable-gpu", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]

_running: list[Any] = []
_to_end = ExitStack()


def chromium() -> Any:
    """It is started unless it runs. Where there is none the test is skipped; under CI it fails."""
    if not _running or not _running[0].is_connected():
        close_chromium()
        _running.append(_launch())
    return _running[0]


def close_chromium() -> None:
    """And Playwright: as long as that is there an event loop runs in this thread, and no test can run its own."""
    _running.clear()
    _to_end.close()


def _launch() -> Any:
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        _do_without("Playwright is missing: pip install playwright")
    if not CHROMIUM:
        _do_without("Chromium is missing: apt-get install chromium")
    playwright = _to_end.enter_context(sync_playwright())
    browser = playwright.chromium.launch(executable_path=LEAN, args=FLAGS, env={**os.environ, "CHROMIUM": CHROMIUM})
    _to_end.callback(browser.close)
    return browser


def _do_without(missing: str) -> NoReturn:
    if IN_CI:
        pytest.fail(missing)
    pytest.skip(missing)
