"""Who may label: invites, which work once, and the sessions that they begin. In Redis, so that any server knows them.

    pool = LabelerPool(client, run_id)
    invite = pool.invite()                 # goes to a person, as a link
    token = pool.join(invite)              # their browser keeps it as a cookie
    pool.whois(token)                      # -> "labeler-1a2b3c4d", or None

Tokens are 256 random bits; Redis holds only their digests, so who reads the database cannot label. Keys, beside those
at the top of reward_service/database.py:

    invites            hash    digest of an invite -> "<expires> <labeler>"
    sessions           hash    digest of a session -> "<begun> <last seen> <labeler>"
    labelers:revoked   set     labelers whose sessions no longer count; their labels stay
"""

from __future__ import annotations

import hashlib
import secrets
from pathlib import Path
from typing import Any

import redis

from reward_service.keys import checked_id, load_script, run_prefix, text

INVITE_S = 7 * 86_400.0
IDLE_S = 12 * 3600.0
ABSOLUTE_S = 7 * 86_400.0
_LUA = Path(__file__).parent


class InviteError(RuntimeError):
    """The invite is unknown, used, or expired."""


class LabelerPool:
    """The labelers of one run."""

    def __init__(self, client: redis.Redis, run_id: str) -> None:
        self._redis: Any = client
        self.prefix = run_prefix(run_id)
        self._invite = load_script(client, _LUA / "invite.lua")
        self._join = load_script(client, _LUA / "join.lua")
        self._whois = load_script(client, _LUA / "whois.lua")

    def invite(self, labeler: str = "", expires_s: float = INVITE_S) -> str:
        """A new invite for one labeler, by default a new one with a name of its own."""
        token = secrets.token_urlsafe(32)
        name = checked_id("labeler", labeler or f"labeler-{secrets.token_hex(4)}")
        self._invite([self.prefix], [_digest(token), name, repr(expires_s)])
        return token

    def join(self, invite: str) -> str:
        """Uses an invite up and begins a session; its token. Raises InviteError."""
        token = secrets.token_urlsafe(32)
        if not self._join([self.prefix], [_digest(invite), _digest(token)]):
            raise InviteError("this invite is unknown, used or expired: ask for a new one")
        return token

    def whois(self, token: str) -> str | None:
        """The labeler of a session, which is seen by this; None where it has ended: idle, too old, or revoked."""
        found: Any = self._whois([self.prefix], [_digest(token), repr(IDLE_S), repr(ABSOLUTE_S)])
        return None if found is None else text(found)

    def revoke(self, labeler: str) -> None:
        """Ends all sessions of a labeler, present and future. Their labels stay."""
        self._redis.sadd(f"{self.prefix}labelers:revoked", checked_id("labeler", labeler))


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
