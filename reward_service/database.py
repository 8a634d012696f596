"""The comparison database: clips, queries, the ordered log of labels, reward-model snapshots, statuses. In Redis.

Key schema. Every key begins with "twoclips:<run>:", so that runs share a server undisturbed.

    clip:<clip>        string  the encoded clip (codec.py)
    clips              zset    clip -> order of arrival
    clips:droppable    zset    the same, for those that nothing names: the oldest go first when the budget is full
    clips:refs         hash    clip -> number of queries that name it; 1 for a clip of the practice
    practice           list    the six clips that every labeler may see without a lease: of each pair the better, then
                               the worse; kept for good, and named by no query (labeling/practice.lua)
    query:<query>      hash    left, right, disagreement, reward_version, priority, asked_at_s,
                               overlap  answers that are counted; 1 where a run of before did not keep it, 0 where an
                                        import made it: all that counted elsewhere, and nobody is asked
                               gold     "left" or "right" where that side is known to be better, else ""
                               asked_version  reward_version when it was asked, once a newer one has scored it
                               state    open | done (has its answers) | withdrawn
                               counted  labels that count     kept    all labels, surplus and retracted ones included
                               leased   leases now            held    1 while its clips must stay
                               by:<labeler>  a token while the labeler holds it, "label:<label>" once answered,
                                             "undrawn" where it could not be shown (labeling/set_aside.lua)
                               only     the one labeler whom it asks about a marked pair again (labeling/gold.lua);
                                        its `gold` is that of when it was asked: what stands is in golds.py
                               gone two weeks after it was withdrawn, where no label names it
    gold               hash    query whose pair an admin has marked -> the label that says which side is better
    queries:open       zset    queries that a labeler may be given -> priority
    queries:pending    set     queries that still lack an answer: open, or in somebody's hands
    queries:undrawn    zset    queries that one labeler could not be shown -> when they are withdrawn, server time
    leases             zset    token -> deadline, server time
    leases:tokens      hash    token -> "<query> <labeler>"; outlives the lease by a week, for late answers
    leases:ended       zset    such a token -> server time at which its lease ended without an answer
    leases:held        hash    labeler -> leases now
    leases:begun       hash    token -> server time of its claim, while the lease lasts
    labels             hash    label -> JSON {id, query, labeler, answer, retracts, surplus, left, right, cursor,
                               retracted_by}
    log                stream  id, query, labeler, answer, retracts, at, surplus, left, right, evidence (JSON or ""):
                               nothing is ever deleted
    snapshot           hash    version, payload, at_s
    snapshots          list    "<version> <cursor> <at_s>" of the latest 256 that saw more of the log than those before
    status             hash    component -> "<server time> <JSON>"
    counters           hash    labels, labels_surplus, labels_incomparable, retractions, queries, queries_refused,
                               clip_arrivals, clip_bytes, droppable_bytes, clips_dropped, clips_refused, leases_expired

Every change is one Lua call keyed by an id that the caller made, or idempotent: whoever lost a reply may repeat it.
Why not let redis-py repeat: it would also repeat what is not keyed, and hide for how long it blocked (client.py).
A full store refuses clips, never labels; a full Redis, too (common.lua). Leases and answers belong to
labeling/queue.py; the keys are the same.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import redis

from actors.trajectory import Clip
from reward_service.client import DatabaseError, check_writable, connect
from reward_service.clip_store import ClipStore
from reward_service.comparisons import Answer, Comparison, Label, LogItem, Offered, Query, Retraction, Unreadable
from reward_service.golds import Golds, Marks
from reward_service.keys import START, checked_id, load_script, run_prefix, text
from reward_service.snapshot_store import SnapshotStore

__all__ = ["START", "ComparisonDatabase", "DatabaseError", "check_writable", "connect"]

_LUA = Path(__file__).parent
_log = logging.getLogger(__name__)


class ComparisonDatabase:
    """One run's database. Safe to share between threads; errors of the connection are redis.RedisError."""

    def __init__(self, client: redis.Redis, run_id: str, clip_budget_bytes: int = 512 * 1024 * 1024) -> None:
        # typed Any: redis-py annotates every command as possibly awaitable
        self._redis: Any = client
        self.client = client
        self.run_id = run_id
        self.prefix = run_prefix(run_id)
        self.clips = ClipStore(client, self.prefix, clip_budget_bytes)
        self.snapshots = SnapshotStore(client, self.prefix)
        self._golds = Golds(client, self.prefix)
        self._offer = load_script(client, _LUA / "offer.lua")
        self._import_label = load_script(client, _LUA / "import_label.lua")
        self._set_status = load_script(client, _LUA / "set_status.lua")

    # ---- queries

    def offer(
        self, queries: Sequence[Query], priorities: Sequence[float] | None = None, overlap: int = 1
    ) -> list[Offered]:
        """Puts queries into the queue, the greatest priority first to be asked: by default that is the disagreement
        (NaN counts as 0). `overlap` answers are counted for each.

        `asked_at_s` becomes server time. Repeated, after a lost reply, it changes nothing and gives KNOWN."""
        wanted = [query.disagreement for query in queries] if priorities is None else priorities
        with self._redis.pipeline(transaction=False) as pipe:
            for query, value in zip(queries, wanted, strict=True):
                ids = [checked_id("query id", query.query_id)]
                ids += [checked_id("clip id", clip_id) for clip_id in (query.left, query.right)]
                priority = repr(value if math.isfinite(value) else 0.0)
                args = [*ids, repr(query.disagreement), query.reward_version, priority, query.gold, overlap]
                self._offer([self.prefix], args, pipe)
            return list(map(Offered, pipe.execute()))

    def get_query(self, query_id: str) -> Query | None:
        names = ["left", "right", "disagreement", "reward_version", "asked_at_s", "gold"]
        values = self._redis.hmget(f"{self.prefix}query:{checked_id('query id', query_id)}", names)
        if values[0] is None:
            return None
        left, right, disagreement, reward_version, asked_at_s, gold = map(text, values)
        return Query(query_id, left, right, float(disagreement), int(reward_version), float(asked_at_s), gold)

    # ---- the log

    def labels_since(self, cursor: str, limit: int = 1000) -> tuple[list[Label], str]:
        """Every version of every label after `cursor`, in order, surplus ones and retractions too, at most `limit`;
        and the cursor to go on from."""
        entries, cursor = self.entries_since(cursor, limit)
        return [label for label, _, _ in entries], cursor

    def entries_since(self, cursor: str, limit: int = 1000) -> tuple[list[tuple[Label, str, str]], str]:
        """`labels_since`, each with the two clips that were compared, left and right."""
        replies = self._redis.xrange(f"{self.prefix}log", min=f"({cursor}", count=limit)
        entries = [(_label(text(entry_id), f), text(f[b"left"]), text(f[b"right"])) for entry_id, f in replies]
        return entries, entries[-1][0].cursor if entries else cursor

    def comparisons_since(self, cursor: str, limit: int = 1000) -> tuple[list[LogItem], str]:
        """What counts of the log after `cursor`, in order, joined with its segments; and the cursor to go on from.

        Answers that a person could not compare are included (their target is None), surplus labels and their
        retractions are not: see labels_since. Reads at most `limit` entries of the log, so an empty list with a
        cursor that has moved means: go on. Raises DatabaseError for a clip that is gone; one that is damaged, or of a
        newer version, does not keep the rest from being read."""
        entries, cursor = self.entries_since(cursor, limit)
        entries = [entry for entry in entries if not entry[0].surplus]
        clips, unreadable = self.clips.read(clip for label, *sides in entries if not label.retracts for clip in sides)
        golds = self._golds.of(label.query_id for label, _, _ in entries)
        found: list[LogItem] = []
        for label, left_id, right_id in entries:
            if label.retracts:
                found.append(Retraction(label))
                continue
            if bad := {left_id, right_id} & unreadable:
                _log.warning("label %s is left out: its clip %s cannot be read", label.label_id, min(bad))
                found.append(Unreadable(label))
                continue
            left, right = clips.get(left_id), clips.get(right_id)
            if left is None or right is None:
                raise DatabaseError(
                    f"label {label.label_id} of run {self.run_id} names a clip that is gone, though such clips are "
                    "never dropped: was the server flushed, or is it set to evict keys? Restore its append-only file"
                )
            returns = left.true_return, right.true_return
            ids, gold = (left_id, right_id), golds[label.query_id]
            found.append(Comparison(label, left.segment, right.segment, *returns, ids, gold.side, gold.is_marked))
        return found, cursor

    def golds_of(self, query_ids: Iterable[str]) -> dict[str, str]:
        """The side of each query that is known to be better; "" for a query that is not gold, or not known."""
        return {query_id: gold.side for query_id, gold in self._golds.of(query_ids).items()}

    def gold_marks(self) -> Marks:
        """The pairs that admins have marked as gold, as long as that stands."""
        return self._golds.marks()

    def sides_of(self, query_ids: Iterable[str]) -> dict[str, tuple[str, str]]:
        """The two clip ids of each query that is known; for exports."""
        ids = list(query_ids)
        with self._redis.pipeline(transaction=False) as pipe:
            for query_id in ids:
                pipe.hmget(f"{self.prefix}query:{checked_id('query id', query_id)}", ["left", "right"])
            return {
                query_id: (text(left), text(right))
                for query_id, (left, right) in zip(ids, pipe.execute(), strict=True)
                if left is not None
            }

    def import_comparison(self, left: Clip, right: Clip, label: Label, gold: str = "") -> bool:
        """Takes in one version of a label of another run, a retraction too (after what it retracts), with its clips;
        `gold` as in Query.

        Repeating it changes nothing and gives False. A query that is new here is never offered; one that this run asks
        too takes the label as an answer, surplus where it has its answers or this labeler's. The clips are stored
        whatever the budget says, since a label names them. Raises DatabaseError when the label id is used for something
        else."""
        ids = [checked_id("query id", label.query_id)]
        ids += [checked_id("clip id", clip.clip_id) for clip in (left, right)]
        ids += [checked_id("label id", label.label_id), checked_id("labeler", label.labeler)]
        answer = label.answer.value if label.answer else ""
        if bool(answer) == bool(label.retracts) or left.clip_id == right.clip_id:
            raise DatabaseError(
                f"label {label.label_id} must have an answer or retract a label, and two different clips"
            )
        with self._redis.pipeline(transaction=True) as pipe:
            for clip in (left, right):
                self.clips.put_in(pipe, clip)
            args = [*ids, answer, label.retracts, f"{label.answered_at_s:.6f}", int(label.surplus), label.evidence]
            self._import_label([self.prefix], [*args, gold], pipe)
            try:
                status = text(pipe.execute()[-1][0])
            except redis.OutOfMemoryError:
                status = "full"
        if status == "full":
            raise DatabaseError(
                f"this Redis is full and has no room for the clips of label {label.label_id}: raise its maxmemory, "
                "then import again; what was read is kept"
            )
        if status == "conflict":
            raise DatabaseError(
                f"label {label.label_id} cannot be imported into run {self.run_id}: its id, or its query's, is used "
                "for something else, or what it retracts is not there; import into a new run"
            )
        return status == "stored"

    # ---- counters

    def num_labels(self) -> int:
        """Labels that count now: surplus and retracted ones are not among them, incomparable ones are."""
        return self._counter("labels")

    def num_open_queries(self) -> int:
        """Queries that still lack an answer, whether waiting or in a labeler's hands."""
        return self._redis.scard(f"{self.prefix}queries:pending")

    def counts(self) -> dict[str, int]:
        """Every counter of the schema above, and the sizes of the queue."""
        names = ["labels", "labels_surplus", "labels_incomparable", "retractions", "queries", "queries_refused"]
        names += ["clip_bytes", "clips_dropped", "clips_refused", "leases_expired"]
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.hmget(f"{self.prefix}counters", names)
            pipe.zcard(f"{self.prefix}clips")
            pipe.zcard(f"{self.prefix}queries:open")
            pipe.scard(f"{self.prefix}queries:pending")
            pipe.zcard(f"{self.prefix}leases")
            values, *sizes = pipe.execute()
        found = {name: int(value or 0) for name, value in zip(names, values, strict=True)}
        sized = ("clips", "queries_waiting", "queries_open", "leases")
        return found | {name: int(value) for name, value in zip(sized, sizes, strict=True)}

    def _counter(self, name: str) -> int:
        return int(self._redis.hget(f"{self.prefix}counters", name) or 0)

    # ---- statuses

    def now_s(self) -> float:
        """The server's time, in which leases and labels are dated: seconds since the epoch."""
        seconds, microseconds = self._redis.time()
        return seconds + microseconds / 1e6

    def set_status(self, component: str, status: dict[str, Any]) -> None:
        """Says what a component is doing; `statuses` adds the server's time as `updated_at_s`."""
        self._set_status([self.prefix], [checked_id("component", component), json.dumps(status)])

    def status_of(self, component: str) -> dict[str, Any]:
        """What it has told last, and `updated_at_s`; {} of one that has told nothing."""
        value = self._redis.hget(f"{self.prefix}status", component)
        if value is None:
            return {}
        at, _, body = text(value).partition(" ")
        return {**json.loads(body), "updated_at_s": float(at)}


def _label(cursor: str, fields: dict[bytes, bytes]) -> Label:
    answer = text(fields[b"answer"])
    return Label(
        cursor=cursor,
        label_id=text(fields[b"id"]),
        query_id=text(fields[b"query"]),
        labeler=text(fields[b"labeler"]),
        answer=Answer(answer) if answer else None,
        retracts=text(fields[b"retracts"]),
        answered_at_s=float(fields[b"at"]),
        surplus=fields[b"surplus"] == b"1",
        evidence=text(fields.get(b"evidence")),  # a log of before it was kept has none
    )
