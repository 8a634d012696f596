"""Who may label: invites, which work once, and the sessions that they begin. In Redis, so that any server knows them.

    pool = LabelerPool(client, run_id)
    invite = pool.invite()                 # goes to a person, as a link
    token = pool.join(invite)              # their browser keeps it as a cookie
    pool.whois(token)                      # -> Person("labeler-1a2b3c4d", Role.LABELER), or None

Tokens are 256 random bits; Redis holds only their digests, so who reads the database cannot label. Keys, beside those
at the top of reward_service/database.py:

    invites            hash    digest of an invite -> "<expires> <labeler> <role>"
    sessions           hash    digest of a session -> "<begun> <last seen> <labeler> <role>"
    labelers:revoked   set     labelers whose sessions no longer count; their labels stay
    labelers:paused    set     labelers who are given no pairs for now; "*" is everybody
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import redis

from actors.failures import UsageError
from reward_service.keys import checked_id, load_script, run_prefix, text

INVITE_S = 7 * 86_400.0
IDLE_S = 12 * 3600.0
ABSOLUTE_S = 7 * 86_400.0
REPEAT_S = 600.0
"""How long a browser that lost the reply to its invite may send it again."""

EVERYBODY = "*"
"""Stands for all labelers where one is paused; no labeler can have that name."""

_LUA = Path(__file__).parent


LOCAL_LABELER = "local"
"""Who comes without an invite: see sessions.py."""


class NotFreeError(UsageError, RuntimeError):
    """Nobody can come in under that name."""


class InviteError(RuntimeError):
    """The invite is unknown, used, or expired."""


class Role(StrEnum):
    """What a person may do. An admin labels like anybody, and sees and steers the pool."""

    LABELER = "labeler"
    ADMIN = "admin"


@dataclass(frozen=True)
class Person:
    """Whose a session is."""

    labeler: str
    role: Role


@dataclass(frozen=True)
class Names:
    """Of labelers: who has a session, whom an unused invite lets in, who is paused (maybe with EVERYBODY), who is
    revoked."""

    signed_in: set[str]
    invited: set[str]
    paused: set[str]
    revoked: set[str]


class LabelerPool:
    """The labelers of one run."""

    def __init__(self, client: redis.Redis, run_id: str) -> None:
        self._redis: Any = client
        self.prefix = run_prefix(run_id)
        self._invite = load_script(client, _LUA / "invite.lua")
        self._join = load_script(client, _LUA / "join.lua")
        self._whois = load_script(client, _LUA / "whois.lua")

    @staticmethod
    def new_name(role: Role = Role.LABELER) -> str:
        """A name that nobody has."""
        return f"{role}-{secrets.token_hex(4)}"

    def invite(self, labeler: str = "", expires_s: float = INVITE_S, role: Role = Role.LABELER) -> str:
        """A new invite for one person, by default a new one with a name of its own. Raises NotFreeError."""
        token = secrets.token_urlsafe(32)
        name = checked_id("labeler", labeler or self.new_name(role))
        if name == LOCAL_LABELER:
            raise NotFreeError("this name stands for who comes without an invite: choose another one")
        if self.is_revoked(name):
            raise NotFreeError(f"{name} was revoked and cannot come back: choose another name")
        self._invite([self.prefix], [_digest(token), name, repr(expires_s), role.value])
        return token

    def join(self, invite: str, join_id: str = "") -> str:
        """Uses an invite up and begins a session; its token. Raises InviteError.

        A caller that may have lost the reply passes an id of its own (random, at least 128 bit) and repeats it: the
        token follows from invite and id, so the same again within REPEAT_S finds the same session. Redis knows neither.
        """
        secret = hashlib.sha256(f"{invite} {join_id}".encode()).digest() if join_id else secrets.token_bytes(32)
        token = base64.urlsafe_b64encode(secret).rstrip(b"=").decode()
        if not self._join([self.prefix], [_digest(invite), _digest(token), repr(REPEAT_S)]):
            raise InviteError("this invite is unknown, used or expired: ask for a new one")
        return token

    def whois(self, token: str) -> Person | None:
        """Whose a session is, which is seen by this; None where it has ended: idle, too old, or revoked."""
        return self.whois_all([(token, True)])[0]

    def whois_all(self, asked: Sequence[tuple[str, bool]]) -> list[Person | None]:
        """`whois` of each token, together. A session is seen where the person has acted, and not where an open page
        asks by itself: it would never be idle."""
        with self._redis.pipeline(transaction=False) as pipe:
            for token, has_acted in asked:
                arguments = [_digest(token), repr(IDLE_S), repr(ABSOLUTE_S), int(has_acted)]
                self._whois([self.prefix], arguments, pipe)
            return [None if found is None else Person(text(found[0]), Role(text(found[1]))) for found in pipe.execute()]

    def has_session(self, token: str) -> bool:
        """Whether the session is there, though its labeler may be revoked."""
        return bool(self._redis.hexists(f"{self.prefix}sessions", _digest(token)))

    def end(self, token: str) -> None:
        """Ends a session: its labeler signs out. May be repeated."""
        self._redis.hdel(f"{self.prefix}sessions", _digest(token))

    def revoke(self, labeler: str) -> None:
        """Ends all sessions of a labeler, present and future. Their labels stay."""
        self._redis.sadd(f"{self.prefix}labelers:revoked", checked_id("labeler", labeler))

    def is_revoked(self, labeler: str) -> bool:
        """Whether this labeler's sessions count no longer."""
        return bool(self._redis.sismember(f"{self.prefix}labelers:revoked", labeler))

    def pause(self, labeler: str, paused: bool = True) -> None:
        """Gives a labeler, or EVERYBODY, no more pairs; with `paused` False again as before. Answers are kept."""
        name = labeler if labeler == EVERYBODY else checked_id("labeler", labeler)
        (self._redis.sadd if paused else self._redis.srem)(f"{self.prefix}labelers:paused", name)

    def is_paused(self, labeler: str) -> bool:
        """Whether this labeler is given no pairs now, alone or with everybody."""
        return labeler in self.paused_among([labeler])

    def paused_among(self, labelers: Sequence[str]) -> set[str]:
        """Those of the labelers who are given no pairs now."""
        *alone, everybody = self._redis.smismember(f"{self.prefix}labelers:paused", [*labelers, EVERYBODY])
        return {labeler for labeler, paused in zip(labelers, alone, strict=True) if paused or everybody}

    def names(self) -> Names:
        """The names in use by now. Invites and sessions that have expired are removed."""
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.time()
            pipe.hgetall(f"{self.prefix}sessions")
            pipe.hgetall(f"{self.prefix}invites")
            pipe.smembers(f"{self.prefix}labelers:paused")
            pipe.smembers(f"{self.prefix}labelers:revoked")
            (whole_s, rest_us), sessions, invites, paused, revoked = pipe.execute()
        now_s = whole_s + rest_us / 1e6
        return Names(
            self._lasting("sessions", sessions, (ABSOLUTE_S, IDLE_S), now_s),
            self._lasting("invites", invites, (0.0,), now_s),
            {text(name) for name in paused},
            {text(name) for name in revoked},
        )

    def _lasting(self, key: str, entries: dict[bytes, bytes], lifetimes_s: Sequence[float], now_s: float) -> set[str]:
        """The names in `entries`. Each begins with the times from which its lifetimes count; where one of them has
        passed the entry is removed. No request can have renewed it meanwhile: whois.lua finds the same."""
        names: set[str] = set()
        expired: list[bytes] = []
        for digest, value in entries.items():
            parts = text(value).split(" ")
            if any(now_s - float(at) > most_s for at, most_s in zip(parts, lifetimes_s, strict=False)):
                expired.append(digest)
            else:
                names.add(parts[len(lifetimes_s)])
        if expired:
            self._redis.hdel(f"{self.prefix}{key}", *expired)
        return names


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
