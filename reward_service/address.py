"""Addresses of Redis and the passwords in them: what the environment holds, and what may be written down.

A password comes from the environment only. Whatever is written (config.toml, a message) has the address without it, and
whoever reads that back finds the password in the environment again.
"""

from __future__ import annotations

import os
import re

REDIS_VARIABLE = "TWOCLIPS_REDIS"
"""Environment variable with the address of a run's Redis, which may hold a password."""

REWARD_VARIABLE = "TWOCLIPS_REDIS_REWARD"
"""The same server's address for the reward service, where that has a user of its own."""


def without_password(url: str) -> str:
    """The address, fit to be shown and stored."""
    # Not urllib: what a person typed wrong must not be shown either, and it makes unix:/path of unix:///path.
    return re.sub(r"^(\w+://)([^:@/]*):.*@", lambda found: found[1] + (found[2] and f"{found[2]}@"), url)


def has_password(url: str) -> bool:
    """Whether the address holds one."""
    return without_password(url) != url


def with_password(url: str) -> str:
    """An address that was stored, as the environment has it, where that speaks of the same server and user."""
    given = os.environ.get(REDIS_VARIABLE, "")
    return given if url and without_password(given) == url else url
