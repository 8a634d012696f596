"""Golds: which side of a query is known to be better, and whether that still stands.

A query that the run asked as gold stays gold: the true returns do not change. One that asks a marked pair again (it has
`only`, see labeling/gold.lua) is gold for as long as the mark stands: the admin may unmark the pair, or take back the
answer that the mark rests on. A wrong mark must not stay with the people who were measured by it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import redis

from reward_service.keys import checked_id, text

Marks = dict[tuple[str, str], str]
"""The pairs that are marked now, by left and right clip id, and the side that is better."""


@dataclass(frozen=True)
class Gold:
    """side: "left", "right", or "" where none is known to be better. is_marked: it is an admin's mark that says so, or
    once did."""

    side: str
    is_marked: bool


class Golds:
    """Of one run; part of its ComparisonDatabase."""

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._redis: Any = client
        self._prefix = prefix

    def of(self, query_ids: Iterable[str]) -> dict[str, Gold]:
        """Of each query; side "" for one that is not gold, or not known."""
        ids = list(dict.fromkeys(query_ids))
        with self._redis.pipeline(transaction=False) as pipe:
            for query_id in ids:
                pipe.hmget(self._query(query_id), ["gold", "only", "left", "right"])
            replies = pipe.execute()
        marks = self.marks() if any(only is not None for _, only, _, _ in replies) else {}
        return {
            query_id: Gold(text(gold) if only is None else marks.get((text(left), text(right)), ""), only is not None)
            for query_id, (gold, only, left, right) in zip(ids, replies, strict=True)
        }

    def marks(self) -> Marks:
        """What is marked now. A mark whose answer was taken back is none."""
        marked = self._redis.hgetall(f"{self._prefix}gold")
        if not marked:
            return {}
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.hmget(f"{self._prefix}labels", list(marked.values()))
            for query_id in marked:
                pipe.hmget(self._query(text(query_id)), ["left", "right"])
            labels, *pairs = pipe.execute()
        found = [json.loads(label) for label in labels]
        return {
            (text(left), text(right)): label["answer"]
            for (left, right), label in zip(pairs, found, strict=True)
            if not label.get("retracted_by")
        }

    def _query(self, query_id: str) -> str:
        return f"{self._prefix}query:{checked_id('query id', query_id)}"
