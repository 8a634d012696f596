"""What a test does in a browser: open a page, wait for what it says, ask axe."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.labeling.pool import TASK

AXE = Path(__file__).parent / "vendor" / "axe" / "axe.min.js"
KEYS = {"left": "ArrowLeft", "right": "ArrowRight", "tie": "ArrowUp", "incomparable": "ArrowDown"}


class Visit:
    """One tab of the pages; `open` is the labeling page's."""

    def __init__(self, context: Any, address: str) -> None:
        self.context, self.tab = context, context.new_page()
        self.errors: list[str] = []
        self.tab.on("pageerror", lambda error: self.errors.append(str(error)))
        self._address = address

    def open(self, state: str = "labeling") -> Visit:
        if state != "practice":  # who has practised once goes on to labeling
            self.tab.add_init_script(f"try {{ localStorage.setItem('twoclips.practised.{TASK}', 'true') }} catch {{}}")
        self.tab.goto(self._address)
        return self.reach(state=state)

    def look_at(self, path: str, state: str = "live") -> Visit:
        """Another page than that for labeling."""
        self.tab.goto(self._address + path)
        return self.reach(state=state)

    def reach(self, **data: str) -> Visit:
        """Wait until the document's data are these."""
        wanted = "".join(f'[data-{name}="{value}"]' for name, value in data.items())
        self.tab.wait_for_selector(f"html{wanted}", state="attached", timeout=20_000)
        return self

    def data(self, name: str) -> str:
        return self.tab.get_attribute("html", f"data-{name}") or ""

    def text(self, element: str) -> str:
        return self.tab.inner_text(f"#{element}")

    def has_said(self, element: str, text: str) -> None:
        until(lambda: text in self.text(element), f"{element} to say {text!r}, not {self.text(element)!r}")

    def answer(self, answer: str) -> str:
        """Answer by keyboard and see the next pair, or the thank-you; the query that was answered."""
        query = self.data("query")
        assert query
        self.tab.keyboard.press(KEYS[answer])
        until(lambda: self.data("query") != query, "the next pair")
        return query


def until(is_so: Callable[[], bool], what: str, timeout_s: float = 20.0) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < deadline_s, f"waited {timeout_s:.0f} s for {what}"
        time.sleep(0.01)


def serious(page: Visit) -> list[str]:
    rules = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
    found = page.tab.evaluate("rules => axe.run(document, rules)", rules)["violations"]
    return [
        f"{violation['id']}: {node['html']} {node['failureSummary']}"
        for violation in found
        if violation["impact"] in ("serious", "critical")
        for node in violation["nodes"]
    ]
