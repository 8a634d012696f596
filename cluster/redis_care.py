"""RedisCare: whoever finds that Redis does not answer says so here and goes on with something else; it is mended beside
them, and asked again only when it is.

    care = RedisCare(url, private, tell)
    care.attempt(work)              # does what needs Redis, or leaves it out while Redis is away

A private server that died is started again, one that is alive and silent too; where it does not start any more the run
ends and says why, since nothing would be learned from people. A given one is waited for.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from typing import Any

import redis

from cluster.redis_server import PrivateRedis, RedisServerError
from cluster.supervise import Tell, component_row
from cluster.writing import WritingError
from reward_service.client import connect


class RedisCare:
    """Of one run. `private` is None for a given server, and `url` "" for a run that needs none. failures: attempts
    that found it away."""

    TRY_EVERY_S = 0.5
    MAX_PAUSE_S = 10.0
    GIVE_UP_AFTER = 20
    """Starts of a private server that failed, one after the other and ever further apart: some three minutes."""

    def __init__(self, url: str, private: PrivateRedis | None, tell: Tell) -> None:
        self._url, self._private, self._tell = url, private, tell
        self._well, self._closing = threading.Event(), threading.Event()
        self._well.set()
        self._mender: threading.Thread | None = None
        self._lost_s = 0.0
        self._why = ""
        self._failed_starts = 0
        self._given_up: RedisServerError | None = None
        self.failures = 0

    @property
    def is_well(self) -> bool:
        """Whether it answered when it was last asked."""
        return self._well.is_set()

    def attempt(self, work: Callable[[], object]) -> None:
        """Do what needs Redis. The first that finds it away is counted, and all are left out until it is back: a dead
        one costs every caller a timeout, and acting and learning go on with the reward model at hand. Raises
        RedisServerError where it does not start any more."""
        if self._given_up is not None:
            raise RedisServerError(f"{self._given_up}; then continue with --resume") from self._given_up
        if not self.is_well:
            return
        try:
            work()
        except (redis.ConnectionError, redis.TimeoutError) as error:
            self.failures += 1
            self._well.clear()
            self._lost_s, self._why = time.monotonic(), str(error)
            self._tell("Redis", f"Redis did not answer ({error}); acting and learning go on")
            self._mender = threading.Thread(target=self._mend, name="redis-care", daemon=True)
            self._mender.start()

    def close(self) -> None:
        """Mends nothing from now on."""
        self._closing.set()
        if self._mender is not None:
            self._mender.join()

    def as_row(self) -> dict[str, Any]:
        """What status.json says of it."""
        silent_s = 0.0 if self.is_well else time.monotonic() - self._lost_s
        state = "at work" if self.is_well else "away"
        restarts, process_id = (self._private.restarts, self._private.process_id) if self._private else (0, None)
        return component_row("Redis", state, silent_s, restarts, self._why, process_id)

    def _mend(self) -> None:
        self._failed_starts = 0
        while not self._is_back():
            pause_s = min(self.MAX_PAUSE_S, self.TRY_EVERY_S * 2.0 ** min(self._failed_starts, 10))
            if self._given_up is not None or self._closing.wait(pause_s):
                return
        away_s = time.monotonic() - self._lost_s
        self._well.set()
        with contextlib.suppress(OSError, WritingError):  # whoever writes metrics runs into it, too, and ends the run
            self._tell("Redis", f"Redis answers again after {away_s:.1f} s")

    def _is_back(self) -> bool:
        try:
            self._private.start() if self._private else _ping(self._url)
        except RedisServerError as error:
            self._failed_starts += 1
            if self._failed_starts == self.GIVE_UP_AFTER:
                self._given_up = error
            if str(error) != self._why:
                self._why = str(error)
                with contextlib.suppress(OSError, WritingError):
                    self._tell("Redis", f"Redis does not start again: {error}")
            return False
        except (redis.RedisError, OSError):
            return False
        return True


def _ping(url: str) -> None:
    client = connect(url)
    try:
        client.ping()
    finally:
        client.close()
