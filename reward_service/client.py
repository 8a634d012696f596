"""A connection to Redis that does not retry in secret, and the question whether that Redis will do.

redis-py 8 repeats a command ten times by itself: a lost reply then runs a write twice, and a dead server is noticed
after a minute. Here every state change is keyed by an id that its caller made, so the caller may repeat it, openly.
"""

from __future__ import annotations

import math
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.exceptions import NoPermissionError
from redis.retry import Retry

from actors.failures import Failure
from reward_service.address import REDIS_VARIABLE, without_password
from reward_service.keys import run_prefix

_MIB = 1024 * 1024

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


def check_writable(client: redis.Redis, clip_budget_bytes: int = 0, run_id: str = "") -> list[str]:
    """Asks once, at the start, whether the server can keep labels. Raises DatabaseError with one sentence if not.
    `clip_budget_bytes`: whether it has room for so many bytes of clips, those included that `run_id` has stored; 0, of
    whoever stores none, asks for no room.

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
    limit, used = int(memory.get("maxmemory", 0)), int(memory.get("used_memory", 0))
    stored = int(server.hget(f"{run_prefix(run_id)}counters", "clip_bytes") or 0) if run_id else 0
    if clip_budget_bytes and 0 < limit < used + clip_budget_bytes - stored:
        needed = math.ceil((used + clip_budget_bytes - stored) / _MIB)
        raise DatabaseError(
            f"this Redis may hold {limit / _MIB:,.0f} MiB (maxmemory) and holds {used / _MIB:,.0f}: too little for "
            f"{clip_budget_bytes / _MIB:,.0f} MiB of clips: set its maxmemory to {needed:,} MiB at least, or lower "
            "loop.clip_budget_mib"
        )
    if not int(persistence.get("aof_enabled", 0)):
        return ["this Redis keeps no append-only file and may lose labels: set appendonly yes, appendfsync always"]
    if (synced := _appendfsync(client)) not in ("", "always"):
        return [
            f"this Redis acknowledges labels before they are on disk (appendfsync {synced}) and may lose the latest: "
            "set appendfsync always"
        ]
    return []


def _appendfsync(client: redis.Redis) -> str:
    """What the server says; "" where we cannot know. Users of their own may not ask, and their refusals would stand in
    the server's log."""
    server: Any = client
    if client.get_connection_kwargs().get("username"):
        return ""
    try:
        return str(server.config_get("appendfsync").get("appendfsync", ""))
    except redis.ResponseError:  # some services do not have the command
        return ""
