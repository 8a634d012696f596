"""Names of the keys in Redis, and what may be part of one. The schema is told at the top of database.py; history.py and
labelers.py of labeling/ tell of their own keys.

Lua builds the same names from the prefix (common.lua): a run is one prefix, one prefix is one run.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import redis
from redis.commands.core import Script

from actors.failures import UsageError

START = "0-0"
"""The cursor in the log before the first label."""

ID = re.compile(r"[A-Za-z0-9_.:@+-]{1,128}")
_PRELUDE = Path(__file__).with_name("common.lua")


class BadIdError(UsageError, ValueError):
    """An id would not be safe, or not unique, as part of a key."""


def checked_id(kind: str, value: str) -> str:
    """`value`, if it may stand in a key or in a script's argument; else BadIdError."""
    if not ID.fullmatch(value):
        raise BadIdError(f"{kind} {value[:40]!r} must be 1 to 128 letters, digits or any of _ . : @ + -")
    return value


def run_prefix(run_id: str) -> str:
    """What every key of the run begins with. A colon would let one run's keys look like another's."""
    if ":" in checked_id("run id", run_id):
        raise BadIdError(f"run id {run_id!r} must not contain a colon")
    return f"twoclips:{run_id}:"


def load_script(client: redis.Redis, path: Path, *preludes: Path) -> Script:
    """A Lua file as a script that runs by its digest (EVALSHA), with common.lua and the `preludes` before it."""
    parts = [_PRELUDE, *preludes, path]
    return client.register_script("\n".join(part.read_text(encoding="utf-8") for part in parts))


def text(value: Any) -> str:
    """A reply of Redis as text; a missing one is ""."""
    return value.decode() if isinstance(value, bytes) else "" if value is None else str(value)
