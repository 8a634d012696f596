"""A demo that is served, for tests of its API and its page."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from labeling.demo_config import DemoConfig
from labeling.demo_player import Player
from labeling.demo_server import make_demo_app
from reward_service.client import connect
from tests.labeling.browsing import listening


@contextmanager
def served_demo(redis_url: str, config: DemoConfig) -> Iterator[tuple[str, Player]]:
    """Its address, and what plays."""
    client = connect(redis_url)
    player = Player(client, config)
    player.start()
    try:
        with listening(make_demo_app(player, client)) as address:
            yield address, player
            player.is_ending = True
    finally:
        player.stop()
        client.close()
