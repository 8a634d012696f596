"""Player: plays sessions of the small world on a thread of its own, as fast as the page wants.

    player = Player(client, DemoConfig())
    player.start()
    player.play(True, steps_per_second=60)
    player.state()           # for the page; safe from any thread

One world, or two side by side that differ in how queries are chosen and are played in step. While a person is asked, or
Redis does not answer, it looks again a moment later; everything else waits for the page.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import redis

from actors.small_world import Grid
from labeling.demo_config import DemoConfig, DemoError
from labeling.demo_policy import Planner, Policy
from labeling.demo_session import Session
from labeling.paths import describe_grid
from reward_service.database import ComparisonDatabase

FULL_SPEED = 0.0
"""Steps per second: as many as there can be."""
FASTEST = 1000.0
LAST_STEP = 100_000
"""Where a session ends, lest a page that was forgotten fills the memory with labels."""
_SLICE_S = 0.008  # played at a time, so that a control never waits longer
_BREATH_S = 0.008  # and as long rests, at full speed too: the browser that draws needs a processor
_LOOK_AGAIN_S = 0.04
_AFTER_FAILURE_S = 1.0

_log = logging.getLogger(__name__)


class Player:
    """`run_id` is the run of the first world, whose queries a person answers. `version` grows with whatever changes."""

    def __init__(
        self, client: redis.Redis, config: DemoConfig, make_policy: Callable[[Grid, float, int], Policy] = Planner
    ) -> None:
        self._client, self._make_policy = client, make_policy
        self._lock, self._stop, self._wake = threading.RLock(), threading.Event(), threading.Event()
        self._name, self._round = f"demo-{secrets.token_hex(4)}", 0
        self._playing, self._speed, self._trouble = False, 60.0, ""
        self._thread = threading.Thread(target=self._work, name="demo-player", daemon=True)
        self._sessions: list[Session] = []
        self._runs: list[str] = []
        self.version = 0
        self.is_ending = False  # set by whoever serves the page: streams to it should end
        self.reset(config)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._wake.set()
        self._thread.join()

    @property
    def run_id(self) -> str:
        return self._runs[0]

    @property
    def config(self) -> DemoConfig:
        """Of the first world, as it is now."""
        return self._sessions[0].config

    @property
    def grid(self) -> Grid:
        return self._sessions[0].grid

    # ---- what the page may do

    def reset(self, config: DemoConfig, side_by_side: bool = False) -> None:
        """Begins anew, from step 0. side_by_side: a second world with the other way of choosing queries. Raises
        DemoError."""
        if side_by_side and config.preset == "person":
            raise DemoError("two worlds side by side ask twice as much as a person can answer: choose another preset")
        other = "random" if config.selection == "disagreement" else "disagreement"
        configs = [config, replace(config, selection=other)] if side_by_side else [config]
        with self._lock:
            self._forget()
            self._round += 1
            self._runs = [f"{self._name}-{self._round}-{index}" for index in range(len(configs))]
            self._sessions = [
                Session(each, ComparisonDatabase(self._client, run_id), self._make_policy)
                for each, run_id in zip(configs, self._runs, strict=True)
            ]
            self._trouble = ""
            self._changed()

    def play(self, playing: bool, steps_per_second: float | None = None) -> None:
        """steps_per_second: up to FASTEST, or FULL_SPEED."""
        with self._lock:
            self._playing = playing
            if steps_per_second is not None:
                self._speed = steps_per_second
            self._changed()

    def step(self) -> None:
        """One agent step, and then a pause."""
        with self._lock:
            self._playing = False
            self._step()
            self._changed()

    def change(self, **settings: Any) -> None:
        """See `Session.change`; where there are two worlds the selection stays what tells them apart."""
        with self._lock:
            if len(self._sessions) > 1:
                settings.pop("selection", None)
                if settings.get("labeler") == "person":
                    raise DemoError("two worlds side by side ask twice as much as a person can answer: show one first")
            for session in self._sessions:
                session.change(**settings)
            self._changed()

    # ---- what the page is told

    def state(self) -> dict[str, Any]:
        """Everything but the curves and the log."""
        with self._lock:
            return {
                "player": self._name,
                "version": self.version,
                "run": self.run_id,
                "playing": self._playing,
                "speed": self._speed,
                "trouble": self._trouble,
                "grid": describe_grid(self.grid),
                "worlds": [_told(session) for session in self._sessions],
            }

    def curves(self) -> dict[str, Any]:
        """The figures over time of each world, and its log, the newest last."""
        with self._lock:
            return {
                "version": self.version,
                "run": self.run_id,
                "worlds": [
                    {
                        "columns": {name: list(column) for name, column in session.record.columns.items()},
                        "events": [asdict(event) for event in session.record.events],
                    }
                    for session in self._sessions
                ],
            }

    # ---- the thread

    def _work(self) -> None:
        due = 0.0  # steps, or parts of one, that should have been played by now
        before_s = time.perf_counter()
        while not self._stop.is_set():
            if not self._playing:
                self._wake.wait(0.5)
                self._wake.clear()
                due, before_s = 0.0, time.perf_counter()
                continue
            now_s = time.perf_counter()
            due = min(due + (now_s - before_s) * self._speed, self._speed * 0.1 + 1.0)
            before_s = now_s
            try:
                moved, due = self._slice(due)
                self._recover()
            except redis.RedisError:
                _log.warning("Redis does not answer; the demo waits for it", exc_info=True)
                self._fail("The database does not answer; the demo goes on when it does.")
                continue
            except Exception:
                _log.exception("the demo stopped")
                self._fail("The demo stopped by a fault of its own; reset it. The terminal says more.", stops=True)
                continue
            self._stop.wait(_LOOK_AGAIN_S if not moved else _BREATH_S if self._speed == FULL_SPEED else 1 / 120)

    def _slice(self, due: float) -> tuple[bool, float]:
        """Plays what is due, as far as the slice lasts and nobody pauses; whether anything moved, and what is still
        due."""
        ends_s = time.perf_counter() + _SLICE_S
        full, moved = self._speed == FULL_SPEED, True
        with self._lock:
            while self._playing and moved and (full or due >= 1.0) and time.perf_counter() < ends_s:
                moved = self._step()
                due -= 1.0
                self._changed()
        return moved, 0.0 if full else due

    def _step(self) -> bool:
        if self._sessions[0].num_steps >= LAST_STEP:
            self._playing = False
            return False
        return any([session.step() for session in self._sessions])  # noqa: C419 - every one of them

    def _fail(self, sentence: str, stops: bool = False) -> None:
        with self._lock:
            self._trouble = sentence
            self._playing = self._playing and not stops
            self._changed()
        self._stop.wait(_AFTER_FAILURE_S)

    def _recover(self) -> None:
        with self._lock:
            if self._trouble:
                self._trouble = ""
                self._changed()

    def _changed(self) -> None:
        self.version += 1
        self._wake.set()

    def _forget(self) -> None:
        """The keys of the worlds that end here; late answers about them find nothing."""
        server: Any = self._client
        for run_id in self._runs:
            for key in server.scan_iter(f"twoclips:{run_id}:*", count=1000):
                server.unlink(key)


def _told(session: Session) -> dict[str, Any]:
    figures, asked = session.record.newest, session.record.asked
    assert figures is not None
    ensemble = session.ensemble
    return {
        "config": asdict(session.config),
        "labeler": session.labeler,
        "online": session.online,
        "waiting": session.is_waiting,
        "step": session.num_steps,
        "labels": figures.labels,
        "match": figures.match,
        "optimal": figures.optimal,
        "loss": figures.loss,
        "rewards": [round(float(value), 4) for value in ensemble.rewards],
        "spread": [round(float(value), 4) for value in ensemble.members.std(axis=0)],
        "arrows": session.policy.arrows.tolist(),
        "right": session.right_arrows.tolist(),
        "judged": session.judged.tolist(),
        "cell": session.cell,
        "trail": session.trail,
        "asked": None if asked is None else asdict(asked),
    }
