"""`twoclips demo`: the small world on a private Redis of its own, in a folder that goes when the demo ends."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Any

import redis

from actors.small_world import Grid
from cluster.page_address import listen_on
from cluster.redis_server import PrivateRedis
from labeling.demo_config import DemoConfig, DemoError
from labeling.demo_player import Player
from labeling.demo_policy import Planner, Policy
from labeling.demo_session import Session
from reward_service.client import connect
from reward_service.database import START, ComparisonDatabase

_IN_MEMORY = "/dev/shm"  # nothing of a demo is to be kept: why wait for a disk


@contextmanager
def demo_redis() -> Generator[redis.Redis]:
    """A client of a server that lasts as long as this block."""
    memory = _IN_MEMORY if os.access(_IN_MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="twoclips-demo-", dir=memory) as folder, PrivateRedis(Path(folder)) as url:
        client = connect(url)
        try:
            yield client
        finally:
            client.close()


def policy_maker(config: DemoConfig) -> Callable[[Grid, float, int], Policy]:
    """What moves the agent. PPO takes seconds to import, the planner nothing."""
    if config.algorithm == "planner":
        return Planner
    from cluster.demo_ppo import PPOAgent

    return PPOAgent


def serve_demo(config: DemoConfig, port: int, say: Callable[[str], None]) -> None:
    """The page, until Ctrl-C. `say` is given its address as soon as it can be opened. Raises DemoError."""
    import uvicorn  # a headless demo needs no server

    from labeling.demo_server import make_demo_app

    try:
        listening = listen_on("127.0.0.1", port)
    except OSError as error:
        raise DemoError(
            f"no port can be opened for the page ({error.strerror}): name a free one with --port"
        ) from error
    with contextlib.closing(listening), demo_redis() as client:
        player = Player(client, config, policy_maker(config))
        settings = uvicorn.Config(
            make_demo_app(player, client),
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=1,
        )

        class Server(uvicorn.Server):
            def handle_exit(self, sig: int, frame: FrameType | None) -> None:
                player.is_ending = True  # or the page's stream would be waited for, and cut off
                super().handle_exit(sig, frame)

        signal.signal(signal.SIGTERM, signal.default_int_handler)  # it, too, should leave nothing behind
        player.start()
        say(f"http://127.0.0.1:{listening.getsockname()[1]}/")
        try:
            with contextlib.suppress(KeyboardInterrupt):  # how a demo ends
                Server(settings).run(sockets=[listening])
        finally:
            player.stop()


def run_headless(config: DemoConfig, num_steps: int) -> dict[str, Any]:
    """The demo without its page. Everything but the times follows from the arguments. Raises DemoError."""
    if config.preset == "person":
        raise DemoError("nobody can answer without the page: choose the preset oracle or offline, or drop --headless")
    if num_steps < 1:
        raise DemoError(f"a demo needs at least one step, not {num_steps}")
    with demo_redis() as client:
        database = ComparisonDatabase(client, "demo")
        session = Session(config, database, policy_maker(config))
        began_s = time.perf_counter()
        while session.num_steps < num_steps or session.is_busy:
            session.step()
        wall_s = time.perf_counter() - began_s
        return {**result(session, database), "steps_per_second": num_steps / wall_s, "wall_s": wall_s}


def result(session: Session, database: ComparisonDatabase) -> dict[str, Any]:
    """What came out, the same every time for the same config. `labels_digest`: of every answer in the log, in order."""
    figures = session.record.newest
    assert figures is not None
    digest = hashlib.blake2b(digest_size=16)
    entries, cursor = database.labels_since(START)
    while entries:
        for label in entries:
            digest.update(f"{label.label_id} {label.query_id} {label.answer} {label.retracts}\n".encode())
        entries, cursor = database.labels_since(cursor)
    return {
        **asdict(session.config),
        "steps": session.num_steps,
        "labels": len(session.ensemble),
        "reward_match": figures.match,
        "optimal_policy": figures.optimal,
        "loss": figures.loss,
        "grid": [round(float(value), 6) for value in session.ensemble.rewards],
        "arrows": session.policy.arrows.tolist(),
        "labels_digest": digest.hexdigest(),
    }
