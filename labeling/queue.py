"""The query queue: who is asked what, and how an answer enters the log. Keys: see reward_service/database.py.

A lease is a query in a labeler's hands until a deadline in the server's time. Every transition is one Lua call that may
be repeated after a lost reply: a claim by its token, an answer and a retraction by their ids. Nothing here waits: a
claim that finds nothing returns None, and leases that ran out are swept back by whoever claims next.

A labeler is not given again what it holds or has answered, under another query's id neither (gold.lua). What it let
expire, or took back, it may see again: with one labeler in the pool the query would otherwise be lost. What it cannot
be shown it is not given again either: its `by:<labeler>` then says "undrawn", and `queries:undrawn` (zset) when it is
withdrawn, if it still lacks answers.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import redis

from labeling.queue_records import Completion, ConflictError, Lease, LeaseLostError, QueueError, Rank, Waiting, raised
from reward_service.comparisons import Answer
from reward_service.keys import checked_id, load_script, run_prefix, text

UNDRAWN_S = 600.0
"""How long a query that somebody cannot be shown waits for others."""

_LUA = Path(__file__).parent


class QueryQueue:
    """The queue of one run. A lease lasts `lease_s` seconds."""

    def __init__(self, client: redis.Redis, run_id: str, lease_s: float = 60.0) -> None:
        if lease_s <= 0:
            raise ValueError(f"a queue needs lease_s > 0, got {lease_s}")
        self.prefix = run_prefix(run_id)
        self.lease_s = lease_s
        prelude, gold = _LUA / "leases.lua", _LUA / "gold.lua"
        self._claim = load_script(client, _LUA / "claim.lua", prelude, gold)
        self._mark_gold = load_script(client, _LUA / "mark_gold.lua", gold)
        self._heartbeat = load_script(client, _LUA / "heartbeat.lua", prelude)
        self._complete = load_script(client, _LUA / "complete.lua", prelude)
        self._retract = load_script(client, _LUA / "retract.lua", prelude, gold)
        self._set_aside = load_script(client, _LUA / "set_aside.lua", prelude)
        self._withdraw = load_script(client, _LUA / "withdraw.lua", prelude)
        self._rerank = load_script(client, _LUA / "rerank.lua", prelude)
        self._give_back = load_script(client, _LUA / "give_back.lua", prelude)
        self._redis: Any = client

    def claim(self, labeler: str, token: str = "", gold: bool = False) -> Lease | None:
        """The most wanted query for this labeler, or None when there is none for it now. With `gold` a marked pair that
        this labeler has not seen comes first, as a query of its own.

        A caller that may have lost the reply passes a token of its own (random, at least 128 bit) and repeats it."""
        token = token or secrets.token_hex(16)
        return self.claim_all([(labeler, token, gold)])[0]

    def claim_all(self, wishes: Sequence[tuple[str, str, bool]], most_leases: int = 0) -> list[Lease | None]:
        """Arguments of `claim`, asked together; what it would return for each, in order. Who holds `most_leases` is
        given none (0: any number)."""
        with self._redis.pipeline(transaction=False) as pipe:
            for labeler, token, gold in wishes:
                ids = checked_id("labeler", labeler), checked_id("token", token)
                args = [ids[0], repr(self.lease_s), ids[1], str(int(gold)), most_leases]
                self._claim([self.prefix], args, pipe)
            replies = pipe.execute()
        return [_lease(labeler, token, reply) for (labeler, token, _), reply in zip(wishes, replies, strict=True)]

    def heartbeat(self, lease: Lease) -> Lease | None:
        """The lease with a new deadline, or None when it has run out and was swept."""
        args = [checked_id("token", lease.token), lease.labeler, repr(self.lease_s)]
        deadline: Any = self._heartbeat([self.prefix], args)
        return None if deadline is None else replace(lease, deadline_s=float(deadline))

    def held(self, labeler: str, token: str) -> str | None:
        """The query that this labeler holds under this token; None when the lease is over or somebody else's."""
        if self._redis.zscore(f"{self.prefix}leases", checked_id("token", token)) is None:
            return None
        query_id, _, owner = text(self._redis.hget(f"{self.prefix}leases:tokens", token)).partition(" ")
        return query_id if owner == labeler else None

    def holds(self, labeler: str, query_id: str) -> bool:
        """Whether this labeler has a lease on the query now."""
        field = f"by:{checked_id('labeler', labeler)}"
        token = text(self._redis.hget(f"{self.prefix}query:{checked_id('query id', query_id)}", field))
        return bool(token) and self._redis.zscore(f"{self.prefix}leases", token) is not None

    def num_held(self, labeler: str) -> int:
        """Leases that this labeler has; those that ran out too, until they are swept."""
        return int(self._redis.hget(f"{self.prefix}leases:held", checked_id("labeler", labeler)) or 0)

    def give_back(self, lease: Lease) -> bool:
        """Ends a lease before its time, for others to be asked; False when it is over. A late answer is still kept."""
        args = [checked_id("token", lease.token), checked_id("labeler", lease.labeler)]
        return self._give_back([self.prefix], args) == 1

    def set_aside(self, lease: Lease) -> bool:
        """Takes a query away from the labeler who holds it and cannot be shown it; False when the lease is over. Others
        are still asked: while its answers are not complete it is withdrawn once a second labeler says so, or when
        UNDRAWN_S have passed and nobody holds it. Repeated it changes nothing."""
        args = [checked_id("token", lease.token), checked_id("labeler", lease.labeler), repr(UNDRAWN_S)]
        return self._set_aside([self.prefix], args) == 1

    def complete(self, lease: Lease, answer: Answer, label_id: str, evidence: str = "") -> Completion:
        """Stores the answer under an id that the caller made, and ends the lease. Stored before it returns.
        `evidence`, JSON of how the answer was given, is kept beside it.

        The same id again returns the first result; with another answer it raises ConflictError. An answer after the
        deadline is kept, and counts if the query still lacks one; about a marked pair it is surplus, since the query
        was this lease's alone. Raises LeaseLostError when the token is used up."""
        return raised(self.complete_all([(lease, answer, label_id, evidence)])[0])

    def complete_all(self, given: Sequence[tuple[Lease, Answer, str, str]]) -> list[Completion | Exception]:
        """Arguments of `complete`, stored together; what it would return or raise for each, in order. Each is a call
        of its own: one that fails leaves the others stored."""
        with self._redis.pipeline(transaction=False) as pipe:
            for lease, answer, label_id, evidence in given:
                ids = [checked_id("token", lease.token), checked_id("query id", lease.query_id)]
                ids += [checked_id("labeler", lease.labeler), checked_id("label id", label_id)]
                self._complete([self.prefix], [*ids, answer.value, evidence], pipe)
            replies = pipe.execute(raise_on_error=False)
        lost = "the lease on query {} is over: claim another query"
        return [
            reply if isinstance(reply, Exception) else _outcome(label_id, reply, lost.format(lease.query_id))
            for (lease, _, label_id, _), reply in zip(given, replies, strict=True)
        ]

    def retract(self, labeler: str, label_id: str, retraction_id: str) -> Completion:
        """Takes back a label of this labeler (undo). The query is asked again, also of this labeler.

        Repeated, under whatever id, it returns the first result."""
        ids = [checked_id("labeler", labeler), checked_id("label id", label_id)]
        ids.append(checked_id("retraction id", retraction_id))
        reply: Any = self._retract([self.prefix], ids)
        return raised(_outcome(retraction_id, reply, f"labeler {labeler} has no label {label_id} to take back"))

    def withdraw(self, query_id: str) -> bool:
        """Stops asking a query; False when it has its answers, is withdrawn or unknown.

        Answers on the way are kept as surplus. Its clips may be dropped from then on, unless a label names them."""
        return self._withdraw([self.prefix], [checked_id("query id", query_id)]) == 1

    def mark_gold(self, labeler: str, query_id: str, marked: bool = True) -> str:
        """What this labeler answered about a query is known to be right: the pair is asked again of everybody else, as
        gold, until it is `marked` no longer or that answer is taken back. The better side ("" where it is marked no
        longer). Raises QueueError where their answer names no side. May be repeated."""
        ids = [checked_id("labeler", labeler), checked_id("query id", query_id)]
        side: Any = self._mark_gold([self.prefix], [*ids, str(int(marked))])
        if side is None:
            raise QueueError("only a pair to which you answered left or right can be marked as gold")
        return text(side)

    def num_gold(self) -> int:
        """Pairs that are marked as gold."""
        return self._redis.hlen(f"{self.prefix}gold")

    def most_wanted(self, limit: int) -> list[str]:
        """Ids of the queries that labelers will be given next, whoever asks; the most wanted first."""
        return [text(query_id) for query_id in self._redis.zrevrange(f"{self.prefix}queries:open", 0, limit - 1)]

    def waiting(self, limit: int = 4096) -> list[Waiting]:
        """What may be ranked anew, the most wanted first: queries without lease and answer."""
        ids = self.most_wanted(limit)
        names = ["left", "right", "reward_version", "asked_version", "leased", "kept", "gold"]
        with self._redis.pipeline(transaction=False) as pipe:
            for query_id in ids:
                pipe.hmget(f"{self.prefix}query:{query_id}", names)
            replies = pipe.execute()
        return [
            Waiting(
                query_id, text(left), text(right), int(version), int(version if asked is None else asked), bool(gold)
            )
            for query_id, (left, right, version, asked, leased, kept, gold) in zip(ids, replies, strict=True)
            if left is not None and not int(leased) and not int(kept)
        ]

    def rerank(self, version: int, ranks: Sequence[Rank]) -> list[str]:
        """Writes what this reward version makes of queries, and withdraws the stale; for each "ranked", "withdrawn" or
        "left": claimed or answered meanwhile, or unknown. Repeated it changes nothing."""
        args: list[str | int] = [version]
        for rank in ranks:
            args += [checked_id("query id", rank.query_id), repr(rank.disagreement), str(int(rank.stale))]
        return [text(result) for result in self._rerank([self.prefix], args)]


def _lease(labeler: str, token: str, reply: Any) -> Lease | None:
    if reply is None:
        return None
    query_id, left, right, deadline = map(text, reply)
    return Lease(token, query_id, left, right, labeler, float(deadline))


def _outcome(label_id: str, reply: Any, lost: str) -> Completion | Exception:
    status, cursor, surplus = map(text, reply)
    if status == "conflict":
        return ConflictError(f"the id {label_id} was used before for something else: make a new id for every answer")
    if status == "lost":
        return LeaseLostError(lost)
    return Completion(label_id, cursor, surplus == "1", status == "repeated")
