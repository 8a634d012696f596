"""Overview: how the pool of labelers is doing now, for the admin page. JSON-ready; times are ages in seconds."""

from __future__ import annotations

from typing import Any

import numpy as np

from labeling.labelers import EVERYBODY, LOCAL_LABELER, LabelerPool, Names
from labeling.queue import QueryQueue
from labeling.tally import RATE_WINDOW_S, LabelerFigures, Share, Tally
from reward_service.database import ComparisonDatabase
from reward_service.keys import text
from reward_service.reliability import STATUS

EXCLUDED_ALARM = 0.1
"""Share of the counted answers that weigh next to nothing in training, above which the page raises an alarm."""
EXCLUDED_JUMP = 0.05
"""How far it may be above what it was lately, before the page does."""

_MAX_LEASES = 100


class Overview:
    """Of one run. Keeps only what can be read from the log again: see Tally."""

    def __init__(self, database: ComparisonDatabase, queue: QueryQueue, pool: LabelerPool) -> None:
        self._database, self._queue, self._pool = database, queue, pool
        self._tally = Tally(database)

    def read(self) -> dict[str, Any]:
        """All of it. Cost: some twenty small reads, and what the log has more since the last call."""
        self._tally.update()
        database, now_s = self._database, self._database.now_s()
        counts = database.counts()
        leases = self._leases(now_s)
        held: Any = database.client.hgetall(f"{database.prefix}leases:held")
        holding = {text(labeler): int(count) for labeler, count in held.items()}
        told = database.status_of(STATUS)
        names = self._pool.names()
        return {
            "queue": {
                "waiting": counts["queries_waiting"],
                "open": counts["queries_open"],
                "leased": counts["leases"],
                "labels": counts["labels"],
                "surplus": counts["labels_surplus"],
                "retractions": counts["retractions"],
                "leases_expired": counts["leases_expired"],
            },
            "per_minute": {
                "last_1": self._tally.num_given(now_s, 60.0),
                "last_10": self._tally.num_given(now_s, RATE_WINDOW_S) / (RATE_WINDOW_S / 60.0),
            },
            "gold_marked": self._queue.num_gold(),
            "use_delay": self._use_delay(),
            "excluded": _excluded(told.get("excluded_share"), told.get("excluded_usual", 0.0)),
            "is_paused": EVERYBODY in names.paused,
            "labelers": self._labelers(names, told.get("labelers", {}), holding, now_s),
            "leases": leases,
        }

    def _labelers(
        self, names: Names, reliability: dict[str, Any], holding: dict[str, int], now_s: float
    ) -> list[dict[str, Any]]:
        """Everybody who answered, holds a pair, has a session or is invited, who answered most first."""
        figures = self._tally.labelers()
        known = names.signed_in | names.invited
        everybody = known | set(figures) | set(holding) | names.revoked | (names.paused - {EVERYBODY})
        rows = [
            {
                "labeler": name,
                **_told(figures.get(name), now_s),
                "reliability": reliability.get(name),
                "leases": holding.get(name, 0),
                "is_paused": name in names.paused,
                "is_revoked": name in names.revoked,
                "is_invited": name in names.invited - names.signed_in,
                # others answer inside the run, or did so in another one: there is nothing to pause or to revoke
                "has_pages": name in known or name == LOCAL_LABELER,
            }
            for name in everybody
        ]
        return sorted(rows, key=lambda row: (row["is_revoked"], -row["answers"], row["labeler"]))

    def _leases(self, now_s: float) -> list[dict[str, Any]]:
        """Pairs in somebody's hands, at most 100: those that run out first, of these the oldest first. Tokens are not
        told: one is as good as its pair."""
        client, prefix = self._database.client, self._database.prefix
        redis: Any = client
        held = redis.zrange(f"{prefix}leases", 0, _MAX_LEASES - 1, withscores=True)
        if not held:
            return []
        tokens = [token for token, _ in held]
        owners = redis.hmget(f"{prefix}leases:tokens", tokens)
        begun = redis.hmget(f"{prefix}leases:begun", tokens)
        leases: list[dict[str, Any]] = []
        for (_, deadline_s), owner, at in zip(held, owners, begun, strict=True):
            query_id, _, labeler = text(owner).partition(" ")
            if query_id:
                age_s = max(0.0, now_s - float(at)) if at else None
                leases.append({"labeler": labeler, "query": query_id, "age_s": age_s, "left_s": deadline_s - now_s})
        return sorted(leases, key=lambda lease: -(lease["age_s"] or 0.0))

    def _use_delay(self) -> dict[str, Any]:
        """From a key press to the first reward snapshot that saw the answer, over the latest labels."""
        delays, waiting = self._tally.use_delays_s(self._database.snapshots.publications())
        p50, p95 = (float(value) for value in np.percentile(delays, [50, 95])) if delays else (None, None)
        return {"p50_s": p50, "p95_s": p95, "labels": len(delays), "waiting": waiting}


def _excluded(share: float | None, usual: float) -> dict[str, Any]:
    alarm = share is not None and (share > EXCLUDED_ALARM or share - usual > EXCLUDED_JUMP)
    return {"share": share, "usual": usual, "alarm": alarm}


def _told(figures: LabelerFigures | None, now_s: float) -> dict[str, Any]:
    if figures is None:
        return {"answers": 0, "median_response_s": None, "left_share": None, "agreement": None, "last_s": None}
    return {
        "answers": figures.answers,
        "median_response_s": figures.median_response_s,
        "left_share": _interval(figures.left_share),
        "agreement": _interval(figures.agreement),
        "last_s": max(0.0, now_s - figures.last_s),
    }


def _interval(share: Share | None) -> dict[str, float] | None:
    return None if share is None else dict(zip(("share", "low", "high"), share, strict=True))
