"""A connection to Redis that does not retry in secret, and the question whether that Redis will do.

redis-py 8 repeats a command ten times by itself: a lost reply then runs a write twice, and a dead server is noticed
after a minute. Here every state change is keyed by an id that its caller made, so the caller may repeat it, openly.
"""

from __future__ import annotations

from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.exceptions import NoPermissionError
from redis.retry import Retry

from actors.failures import Failure
from reward_service.address import REDIS_VARIABLE, without_password

TIMEOUT_S = 3.0
"""Longer than an fsync on a busy disk takes, and short enough for who waits to go on with something else."""


class DatabaseError(Failure, RuntimeError):
    """The database cannot be used as it is; the message says what to do."""


def connect(url: str) -> redis.Redis:
    """A client for a redis:// or unix:// address; nothing is sent yet. Replies are bytes; no hidden retries."""
    try:
        return redis.Redis.from_url(
            url,
            decode_responses=False,
            socket_timeout=TIMEOUT_S,
            socket_connect_timeout=TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
        )
    except ValueError as error:
        raise DatabaseError(
            f"{without_password(url)} is not an address of Redis: use redis://host:port or unix:///path/to.sock"
        ) from error


def check_writable(client: redis.Redis) -> list[str]:
    """Asks once, at the start, whether the server can keep labels. Raises DatabaseError with one sentence if not.

    Returns warnings: what works, but breaks a promise (labels that would not survive a crash)."""
    server: Any = client
    try:
        server.set("twoclips:probe", b"1", px=10_000)
        memory: dict[str, Any] = server.info("memory")
        persistence: dict[str, Any] = server.info("persistence")
    except redis.ReadOnlyError as error:
        raise DatabaseError(
            "this Redis is a read-only replica: give the address of its primary with --redis"
        ) from error
    except redis.OutOfMemoryError as error:
        raise DatabaseError(
            "this Redis is out of memory: raise its maxmemory or free some, then start again"
        ) from error
    except (redis.AuthenticationError, NoPermissionError) as error:
        raise DatabaseError(
            f"this Redis refuses us ({error}): give its address with user and password in the environment, as "
            f"{REDIS_VARIABLE}=redis://user:password@host:port"
        ) from error
    except (redis.ConnectionError, redis.TimeoutError) as error:
        raise DatabaseError(
            f"Redis cannot be reached ({error}): check that it runs and that the address given with --redis is right"
        ) from error
    except redis.ResponseError as error:
        if str(error).startswith("MISCONF"):
            raise DatabaseError(
                "this Redis refuses writes because it cannot save to disk: free space on its disk, then start again"
            ) from error
        raise DatabaseError(
            f"this Redis refuses a plain write ({error}): use one that twoclips may write to"
        ) from error
    policy = str(memory.get("maxmemory_policy", "noeviction"))
    if int(memory.get("maxmemory", 0)) > 0 and policy.startswith("allkeys"):
        raise DatabaseError(
            f"this Redis evicts keys when it is full (maxmemory-policy {policy}) and would lose labels: "
            "set maxmemory-policy noeviction"
        )
    if not int(persistence.get("aof_enabled", 0)):
        return ["this Redis keeps no append-only file and may lose labels: set appendonly yes, appendfsync always"]
    return []
