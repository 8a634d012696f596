"""What a test does in a browser: open a page, wait for what it says, ask axe."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from labeling.server import PoolConfig, make_app
from reward_service.database import ComparisonDatabase
from tests.labeling.paintings import TASK as PICTURES
from tests.labeling.pool import TASK
from tests.waiting import wait_until

AXE = Path(__file__).parent / "vendor" / "axe" / "axe.min.js"
KEYS = {"left": "ArrowLeft", "right": "ArrowRight", "tie": "ArrowUp", "incomparable": "ArrowDown"}
WINDOW = {"width": 1100, "height": 740}
"""As small as a page is given whole: a browser without a graphics card pays for each pixel."""
FRAME_MS = 16
"""Between two frames, where a test lets time pass."""
WHILE_MS, LOOK_EVERY_S = 500, 0.05
"""That passes between two looks, and how long after another a look is, where a test is in a hurry. Not faster: the
time that a page gives a server to answer passes as fast."""

# A browser without a graphics card spends a whole core on frames, however few of them a test looks at. The page takes
# it for slow then, as it does such a browser anyway, and draws fewer pixels.
FEWER_FRAMES = """
const soon = window.requestAnimationFrame.bind(window);
window.requestAnimationFrame = (draw) => setTimeout(() => soon(draw), 60);
"""

# Milliseconds from a key press to the frame after the one in which the next pair was drawn.
LATENCY_PROBE = """
window.latencies = []; let pressed = 0;
addEventListener("keydown", () => { pressed = performance.now(); }, true);
addEventListener("DOMContentLoaded", () => new MutationObserver(() => {
  if (!pressed) return;
  const since = pressed;
  pressed = 0;
  requestAnimationFrame(() => window.latencies.push(performance.now() - since));
}).observe(document.documentElement, { attributes: true, attributeFilter: ["data-query"] }));
"""


@contextmanager
def person(
    browser: Any, address: str, *, moving: bool = False, every_frame: bool = False, **options: Any
) -> Generator[Visit]:
    """A tab of a person of their own: another browser profile, with the options of a Playwright context. Clips stand
    still unless it is `moving`, and few frames are drawn unless it is `every_frame`."""
    still = {} if moving or every_frame else {"reduced_motion": "reduce"}
    context = browser.new_context(**{"viewport": WINDOW, **still, **options})
    try:
        if not every_frame:
            context.add_init_script(FEWER_FRAMES)
        page = Visit(context, address)
        yield page
    finally:
        context.close()
    assert page.errors == []


@contextmanager
def served(database: ComparisonDatabase, task: str) -> Iterator[str]:
    """The address of a server of this run's pages."""
    with listening(make_app(PoolConfig(database.run_id, task), database.client)) as address:
        yield address


@contextmanager
def listening(app: ASGIApp) -> Iterator[str]:
    """The address of a server of any application."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()  # who comes before the server is up waits
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False, timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        finally:
            server.should_exit = True
            thread.join()


class Visit:
    """One tab of the pages; `open` is the labeling page's."""

    def __init__(self, context: Any, address: str) -> None:
        self.context, self.tab = context, context.new_page()
        self.errors: list[str] = []
        """Of all tabs of this person."""
        self.tab.on("pageerror", lambda error: self.errors.append(str(error)))
        self._address = address
        self._is_time_stopped = False
        self._is_hurried = False

    def open(self, state: str = "labeling") -> Visit:
        if state != "practice":  # who has practised once goes on to labeling
            for task in (TASK, PICTURES):
                practised = f"localStorage.setItem('twoclips.practised.{task}', 'true')"
                self.tab.add_init_script(f"try {{ {practised} }} catch {{}}")
        self.tab.goto(self._address)
        return self.reach(state=state)

    def open_with_time_stopped(self) -> Visit:
        """As `open`; from then on time passes for the page by `let_pass` alone. The server's goes on."""
        self.tab.clock.install()
        self.open()
        self.tab.clock.pause_at(self.tab.evaluate("Date.now()") / 1000 + 1)
        self._is_time_stopped = True
        return self

    def hurried(self) -> Visit:
        """From here on time passes many times as fast for all tabs of this person whenever the test waits for this
        one: what a page does every five seconds need not take five. The server's time goes on as ever."""
        self.context.clock.install()
        self.context.add_init_script(FEWER_FRAMES)  # once more: the clock has frames of its own
        self._is_hurried = True
        return self

    def beside(self, address: str) -> Visit:
        """Another tab of this person."""
        other = Visit(self.context, address)
        other.errors = self.errors
        other._is_hurried = self._is_hurried
        return other

    def let_pass(self, frames: int = 1) -> None:
        self.tab.clock.run_for(frames * FRAME_MS)

    def look_at(self, path: str, state: str = "live") -> Visit:
        """Another page than that for labeling."""
        self.tab.goto(self._address + path)
        return self.reach(state=state)

    def reach(self, **data: str) -> Visit:
        """Wait until the document's data are these, and a pair that is to be shown then is on screen."""
        wanted = "".join(f'[data-{name}="{value}"]' for name, value in data.items())
        there = self.tab.locator(f"html{wanted}")
        if self._is_hurried:
            self._until(lambda: there.count() > 0, f"a page that is {wanted}")
        else:
            there.wait_for(state="attached", timeout=20_000)
        if data.get("state") in ("labeling", "practice"):
            self.drawn()
        return self

    def drawn(self) -> None:
        """Wait until what the page is to show is on screen: it draws with the next frame. For the tab in front, since
        one that is hidden has no frames."""
        self.tab.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def data(self, name: str) -> str:
        return self.tab.get_attribute("html", f"data-{name}") or ""

    def text(self, element: str) -> str:
        return self.tab.inner_text(f"#{element}")

    def has_said(self, element: str, text: str) -> None:
        self._until(lambda: text in self.text(element), f"{element} to say {text!r}, not {self.text(element)!r}")

    def answer(self, answer: str) -> str:
        """Answer by keyboard and see the next pair, or the thank-you; the query that was answered."""
        until(lambda: self.data("query") != "", "the first frame of a pair")
        query = self.data("query")
        self.tab.keyboard.press(KEYS[answer])
        until(lambda: self._shows_another_than(query), "the next pair")
        return query

    def answer_in_vain(self, answer: str) -> str:
        """As `answer`, where no answer gets through, and until a try has failed: one on its way survives the page."""
        with self.context.expect_event("requestfailed"):
            return self.answer(answer)

    def _until(self, is_so: Callable[[], bool], what: str) -> None:
        from playwright.sync_api import Error

        def is_so_by_now() -> bool:
            with suppress(Error):  # the page is just being loaded anew
                if is_so():
                    return True
                if self._is_hurried:
                    self.context.clock.fast_forward(WHILE_MS)
            return False

        until(is_so_by_now, what, every_s=LOOK_EVERY_S if self._is_hurried else 0.01)

    def _shows_another_than(self, query: str) -> bool:
        if self._is_time_stopped:
            self.let_pass()
        return self.data("query") != query


def refuse_answers(page: Visit, status: int, error: str) -> None:
    """Whatever it answers from here on the server turns away."""
    body = json.dumps({"error": error})
    page.context.route("**/api/answers", lambda route: route.fulfill(status=status, body=body))


def until(is_so: Callable[[], bool], what: str, timeout_s: float = 20.0, every_s: float = 0.01) -> None:
    """Looks often and gives up soon: what a page does, it does at once."""
    wait_until(is_so, timeout_s, what, every_s)


def keep_picture(page: Visit, name: str, whole: bool = True) -> None:
    """Of what is on screen, or of the whole page: in the folder ARTEFACTS, if there is one."""
    picture = page.tab.screenshot(full_page=whole)
    assert len(picture) > 10_000, "a blank page"
    if artefacts := os.environ.get("ARTEFACTS"):
        folder = Path(artefacts)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.png").write_bytes(picture)


def schemes(page: Visit) -> Iterator[str]:
    """The page in one scheme after the other: it changes without being loaded anew."""
    for scheme in ("light", "dark"):
        page.tab.emulate_media(color_scheme=scheme)
        page.drawn()
        yield scheme


def looks(page: Visit, name: str) -> Iterator[str]:
    """The page on a desk and on a phone, in one scheme after the other, which is yielded: accessible, no wider than its
    window, and kept as a picture."""
    for width, height in ((1280, 800), (390, 844)):
        page.tab.set_viewport_size({"width": width, "height": height})
        for scheme in schemes(page):
            assert serious(page, scheme) == []
            assert page.tab.evaluate("document.documentElement.scrollWidth") <= width
            keep_picture(page, f"{name}-{width}x{height}-{scheme}")
            yield scheme


def serious(page: Visit, scheme: str = "light") -> list[str]:
    """What axe finds; in the dark, where only colours are others than in the light, what it finds about those."""
    standards = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
    rules = standards if scheme == "light" else {"type": "rule", "values": ["color-contrast"]}
    found = page.tab.evaluate("rules => axe.run(document, { runOnly: rules })", rules)["violations"]
    return [
        f"{violation['id']}: {node['html']} {node['failureSummary']}"
        for violation in found
        if violation["impact"] in ("serious", "critical")
        for node in violation["nodes"]
    ]
