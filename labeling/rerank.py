"""Reranker: keeps what waits in the queue in the order in which the newest reward model would ask it.

A query is asked because the members disagreed about it. While it waits they learn from other answers, and may come to
agree: then a labeler's time is better spent on a pair drawn anew.

A gold query's worth is not its disagreement: it is to be asked as often as it was drawn. So it is ranked as a pair
drawn anew that would be asked, and not withdrawn; with its first rank it would wait behind all that have a new one.

It cannot proceed without a reward model or with nothing waiting; then `step` changes nothing. Left out on purpose:
queries in somebody's hands or answered.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from actors.trajectory import Clip
from labeling.queue import QueryQueue
from labeling.queue_records import Rank, Waiting
from labeling.selection import candidate_pairs
from reward_service.database import ComparisonDatabase

Array = np.ndarray
Scorer = Callable[[list[Clip]], Callable[[Array], Array]]
"""Clips [M] -> a function from pairs [N, 2] of their indices to disagreements [N]."""

BATCH_QUERIES = 256
"""Scored in one step; the rest follow in the next steps. Bounds memory, and clips fetched, with a long queue."""

FRESH_PAIRS = 512


class Reranker:
    """Re-scores a queue whenever the reward model is newer. Its figures count since it was built. candidates: pairs
    looked at per query asked, as whoever chooses new pairs does."""

    def __init__(self, queue: QueryQueue, database: ComparisonDatabase, candidates: int) -> None:
        self._queue, self._database, self._candidates = queue, database, candidates
        self._clips: dict[str, Clip] = {}  # of queries that wait
        self._done_version = 0
        self._reranked = self._withdrawn = 0
        self._age_versions = math.nan

    def step(self, version: int, recent: Sequence[Clip], scorer: Scorer) -> None:
        """Bring up to BATCH_QUERIES queries to this reward version. `recent` are the clips that a new query would be
        made of: a pair of theirs is what a stale query is replaced by."""
        if version <= self._done_version:
            return
        waiting = self._queue.waiting()
        ages = [version - query.asked_version for query in waiting]
        self._age_versions = float(np.mean(ages)) if ages else math.nan
        older = [query for query in waiting if query.reward_version < version][:BATCH_QUERIES]
        gold, asked = [query for query in older if query.is_gold], [query for query in older if not query.is_gold]
        self._remember([query for query in waiting if not query.is_gold], asked, recent)
        asked = [query for query in asked if {query.left, query.right} <= self._clips.keys()]
        if not asked and not (gold and len(recent) > 1):
            self._done_version = version
            return
        scores, fresh = self._score(asked, recent, version, scorer)
        stale = _stale(scores, fresh)
        ranks = [
            Rank(query.query_id, float(score), index in stale)
            for index, (query, score) in enumerate(zip(asked, scores, strict=True))
        ]
        if len(fresh):
            new = self._of_new_pairs(fresh, len(gold), version)
            ranks += [Rank(query.query_id, float(rank), False) for query, rank in zip(gold, new, strict=True)]
        results = self._queue.rerank(version, ranks)
        self._withdrawn += results.count("withdrawn")
        self._reranked += results.count("ranked")

    def metrics(self) -> dict[str, float]:
        """query_age_versions: how many reward versions ago what waits was asked, on average."""
        return {
            "queries_reranked": float(self._reranked),
            "queries_withdrawn": float(self._withdrawn),
            "query_age_versions": self._age_versions,
        }

    def _remember(self, waiting: list[Waiting], scored: list[Waiting], recent: Sequence[Clip]) -> None:
        """Keep the clips of what waits: those known already, recent ones, and what the database has of `scored`."""
        known = {clip.clip_id: clip for clip in recent} | self._clips
        missing = [clip_id for query in scored for clip_id in (query.left, query.right) if clip_id not in known]
        known |= self._database.clips.readable(missing)
        wanted = {clip_id for query in waiting for clip_id in (query.left, query.right)}
        self._clips = {clip_id: clip for clip_id, clip in known.items() if clip_id in wanted}

    def _score(
        self, queries: list[Waiting], recent: Sequence[Clip], version: int, scorer: Scorer
    ) -> tuple[Array, Array]:
        """Disagreements [N] of the queries, and [M] of random pairs of recent clips; M = 0 without a pair."""
        place: dict[str, int] = {}
        for query in queries:
            for clip_id in (query.left, query.right):
                place.setdefault(clip_id, len(place))
        pairs = np.array([(place[query.left], place[query.right]) for query in queries], np.int64).reshape(-1, 2)
        drawn = np.empty((0, 2), np.int64)
        if len(recent) > 1:
            # Drawn by the version: the actor's own generator must not depend on what happens to wait.
            drawn = candidate_pairs(np.random.default_rng(version), len(recent), FRESH_PAIRS) + len(place)
        scores = scorer([*(self._clips[clip_id] for clip_id in place), *recent])(np.concatenate((pairs, drawn)))
        return scores[: len(pairs)], scores[len(pairs) :]

    def _of_new_pairs(self, fresh: Array, count: int, version: int) -> Array:
        """Disagreements [count] of new pairs that would be asked, drawn by the version."""
        asked = np.sort(fresh)[-max(1, len(fresh) // self._candidates) :]
        return np.random.default_rng((version, count)).choice(asked, count)


def _stale(scores: Array, fresh: Array) -> set[int]:
    """Which queries are worth less than a random new pair; at most half of them, so that a labeler never finds the
    queue emptied by one snapshot. None where there is no new pair: nothing could replace them."""
    worth = float(fresh.mean()) if len(fresh) else -math.inf
    below = [int(index) for index in np.argsort(scores, kind="stable") if scores[index] < worth]
    return set(below[: len(scores) // 2])
