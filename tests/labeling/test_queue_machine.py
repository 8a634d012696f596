"""The queue on a real Redis beside a plain model of it, whatever is done in whatever order: the promises R2 to R5.

The model keeps lists and dictionaries and is told nothing by Redis but which clips are there. Time is moved by
rewriting deadlines: a lease that ran out is one whose deadline lies in the past.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule

from labeling.queue import Completion, ConflictError, Lease, LeaseLostError, QueryQueue, Rank
from reward_service.codec import encode_clip
from reward_service.comparisons import Answer, Offered, Query
from reward_service.database import START, ComparisonDatabase
from tests.labeling.pool import one_step_clip, run_out

pytestmark = pytest.mark.redis

LABELERS = st.sampled_from(["ann", "bob", "cy"])
ANSWERS = st.sampled_from(list(Answer))
WHO = st.sampled_from([None, None, None, "ann", "bob"])  # None: whose it is
QUERIES = st.integers(0, 2).map("q{}".format)
CLIPS = st.integers(0, 7).map("c{}".format)
UNDRAWN = "undrawn"  # what a labeler has of a query that it could not be shown
PAIRS = st.tuples(CLIPS, CLIPS).filter(lambda pair: pair[0] != pair[1])


@dataclass
class Asked:
    """A query of the model."""

    left: str
    right: str
    priority: float
    withdrawn: bool = False
    reward_version: int = 0


@dataclass
class Entry:
    """A line of the model's log: an answer, or a retraction of one."""

    label: str
    query: str
    labeler: str
    answer: Answer | None
    retracts: str = ""
    surplus: bool = False


@dataclass
class Model:
    """What should be so. `mine`: what a labeler has of a query: the token it holds, the label it gave, or UNDRAWN."""

    overlap: int
    most_leases: int
    queries: dict[str, Asked] = field(default_factory=dict)
    holders: dict[str, tuple[str, str]] = field(default_factory=dict)  # token -> query, labeler; for late answers too
    leases: dict[str, bool] = field(default_factory=dict)  # token -> whether its deadline has passed
    old: set[str] = field(default_factory=set)  # tokens whose leases ended more than a week ago
    mine: dict[tuple[str, str], str] = field(default_factory=dict)
    log: list[Entry] = field(default_factory=list)
    expired: int = 0
    undrawn: set[str] = field(default_factory=set)  # queries that a labeler could not be shown

    def entry(self, label: str) -> Entry | None:
        return next((entry for entry in self.log if entry.label == label), None)

    def retraction(self, label: str) -> Entry | None:
        return next((entry for entry in self.log if entry.retracts == label), None)

    def current(self) -> list[Entry]:
        """Labels that count."""
        return [e for e in self.log if not e.retracts and not e.surplus and self.retraction(e.label) is None]

    def counted(self, query: str) -> int:
        return sum(entry.query == query for entry in self.current())

    def leased(self, query: str) -> int:
        return sum(self.holders[token][0] == query for token in self.leases)

    def lacks(self, query: str) -> bool:
        return not self.queries[query].withdrawn and self.counted(query) < self.overlap

    def waits(self, query: str) -> bool:
        return self.lacks(query) and self.counted(query) + self.leased(query) < self.overlap

    def rerank(self, query: str, version: int, disagreement: float, stale: bool) -> str:
        asked = self.queries.get(query)
        if asked is None:
            return "left"
        if asked.reward_version >= version:
            return "withdrawn" if asked.withdrawn else "ranked" if self.lacks(query) else "left"
        if not self.lacks(query) or self.leased(query) or any(entry.query == query for entry in self.log):
            return "left"
        asked.reward_version, asked.priority, asked.withdrawn = version, disagreement, stale
        return "withdrawn" if stale else "ranked"

    def end(self, token: str) -> None:
        if self.leases.pop(token, None) is not None and self.mine.get(self.holders[token]) == token:
            del self.mine[self.holders[token]]

    def use_up(self, token: str) -> None:
        del self.holders[token]
        self.old.discard(token)

    def claim(self, labeler: str, token: str) -> str | None:
        if token in self.leases:
            query, owner = self.holders[token]
            return query if owner == labeler else None
        for over in [each for each, passed in self.leases.items() if passed]:
            self.end(over)
            self.expired += 1
        for forgotten in self.old:
            del self.holders[forgotten]
        self.old.clear()
        held = sum(self.holders[each][1] == labeler for each in self.leases)
        if self.most_leases and held >= self.most_leases:
            return None
        free = [query for query in self.queries if self.waits(query) and (query, labeler) not in self.mine]
        if not free:
            return None
        query = max(free, key=lambda each: (self.queries[each].priority, each))
        self.holders[token] = query, labeler
        self.leases[token] = False
        self.mine[query, labeler] = token
        return query

    def complete(self, token: str, query: str, labeler: str, label: str, answer: Answer) -> str:
        """What the queue should say: stored, surplus, repeated, conflict or lost."""
        if known := self.entry(label):
            same = (known.query, known.labeler, known.answer) == (query, labeler, answer)
            return "repeated" if same else "conflict"
        if self.holders.get(token) != (query, labeler):
            return "lost"
        self.end(token)
        self.use_up(token)
        before = self.mine.get((query, labeler))
        answered = before is not None and self.entry(before) is not None
        if before is not None and before in self.leases:  # the same labeler holds it again: one answer ends both
            self.end(before)
            self.use_up(before)
        surplus = answered or not self.lacks(query)
        if not answered:
            self.mine[query, labeler] = label
        self.log.append(Entry(label, query, labeler, answer, surplus=surplus))
        return "surplus" if surplus else "stored"

    def retract(self, labeler: str, label: str, retraction: str) -> str:
        if known := self.entry(retraction):
            return "repeated" if (known.labeler, known.retracts) == (labeler, label) else "conflict"
        target = self.entry(label)
        if target is None or target.retracts or target.labeler != labeler:
            return "lost"
        if self.retraction(label):
            return "repeated"
        self.log.append(Entry(retraction, target.query, labeler, None, label, target.surplus))
        if self.mine.get((target.query, labeler)) == label:
            del self.mine[target.query, labeler]
        return "surplus" if target.surplus else "stored"


class QueueMachine(RuleBasedStateMachine):
    """Each rule does one thing to both and asks for the same outcome; the invariants hold the whole state together."""

    shared: ComparisonDatabase
    runs = 0
    tokens: Bundle[str] = Bundle("tokens")
    labels: Bundle[str] = Bundle("labels")

    @initialize(overlap=st.integers(1, 3), most_leases=st.sampled_from([0, 0, 1, 2]))
    def begin(self, overlap: int, most_leases: int) -> None:
        QueueMachine.runs += 1
        run_id = f"{self.shared.run_id}-{QueueMachine.runs}"
        size = len(encode_clip(one_step_clip("c0")))
        self.data = ComparisonDatabase(self.shared.client, run_id, clip_budget_bytes=5 * size)
        self.queue = QueryQueue(self.shared.client, run_id, 600.0)
        self.model = Model(overlap, most_leases)
        self.ids = 0
        self.seen: list[str] = []
        self.named: set[str] = set()
        self.store(["c0", "c1", "c2"])
        self.offer("q0", ("c0", "c1"), 0.5)
        self.offer("q1", ("c1", "c2"), 0.5)

    def new_id(self) -> str:
        self.ids += 1
        return f"id{self.ids:04}"

    @rule(clips=st.lists(CLIPS, min_size=1, max_size=5))
    def store(self, clips: list[str]) -> None:
        """The budget holds five clips, so that some are refused and some dropped."""
        self.data.clips.put(map(one_step_clip, clips))

    @rule(query=QUERIES, sides=PAIRS, priority=st.sampled_from([0.0, 0.5, 1.0]))
    def offer(self, query: str, sides: tuple[str, str], priority: float) -> None:
        left, right = sides
        known = self.model.queries.get(query)
        stored = len(self.data.clips.get(sides)) == 2
        if known:
            expected = Offered.KNOWN if (known.left, known.right) == sides else Offered.REFUSED
        else:
            expected = Offered.QUEUED if stored else Offered.REFUSED
        offered = self.data.offer([Query(query, left, right, priority, 0, 0.0)], overlap=self.model.overlap)
        assert offered == [expected]
        if expected is Offered.QUEUED:
            self.model.queries[query] = Asked(left, right, priority)

    @rule(query=QUERIES)
    def offer_again(self, query: str) -> None:
        if known := self.model.queries.get(query):
            assert self.data.offer([Query(query, known.left, known.right, 9.0, 0, 0.0)]) == [Offered.KNOWN]

    @rule(target=tokens, labeler=LABELERS)
    def claim(self, labeler: str):
        token = self.new_id()
        return multiple() if self.take(token, labeler) is None else token

    @rule(token=tokens, labeler=LABELERS)
    def claim_again(self, token: str, labeler: str) -> None:
        """Under a token that was used before: one's own, somebody else's, one that is over."""
        self.take(token, labeler)

    def take(self, token: str, labeler: str) -> str | None:
        [lease] = self.queue.claim_all([(labeler, token, False)], self.model.most_leases)
        query = self.model.claim(labeler, token)
        assert (lease and lease.query_id) == query
        if lease is not None:
            asked = self.model.queries[lease.query_id]
            assert (lease.token, lease.left, lease.right) == (token, asked.left, asked.right)
        return query

    @rule(token=tokens)
    def run_out(self, token: str) -> None:
        if token in self.model.leases:
            run_out(self.data, token)
            self.model.leases[token] = True

    @rule(token=tokens)
    def a_week_goes_by(self, token: str) -> None:
        """Since its lease ended without an answer: whoever claims next forgets the token."""
        if token in self.model.holders and token not in self.model.leases:
            self.data.client.zadd(f"{self.data.prefix}leases:ended", {token: 1.0}, xx=True)
            self.model.old.add(token)

    @rule(target=tokens, labeler=LABELERS, answered=st.sampled_from(["none", "first", "second"]))
    def claim_twice(self, labeler: str, answered: str):
        """The first lease runs out, and the same labeler may hold the same query again, and answer either first."""
        first, second = self.new_id(), self.new_id()
        if self.take(first, labeler) is None:
            return multiple()
        self.run_out(first)
        if self.take(second, labeler) is None:
            return multiple(first)
        if answered != "none":
            self.answer(first if answered == "first" else second, None, self.new_id(), Answer.LEFT)
        return multiple(first, second)

    @rule(target=tokens, labeler=LABELERS)
    def claim_two(self, labeler: str):
        """The second one where there is one more, and more may be held."""
        return multiple(*(token for token in (self.new_id(), self.new_id()) if self.take(token, labeler)))

    @rule(target=tokens, labeler=LABELERS)
    def give_back_and_claim_under_the_same_token(self, labeler: str):
        token = self.new_id()
        if self.take(token, labeler) is None:
            return multiple()
        self.give_back(token, None)
        self.take(token, labeler)
        return token

    @rule(target=labels, labeler=LABELERS, answer=ANSWERS)
    def undo_at_once(self, labeler: str, answer: Answer):
        token, label = self.new_id(), self.new_id()
        if self.take(token, labeler) is None:
            return multiple()
        self.answer(token, None, label, answer)
        self.take_back(label, None, self.new_id())
        return label

    @rule(token=tokens, labeler=WHO)
    def heartbeat(self, token: str, labeler: str | None) -> None:
        """A lease whose deadline has passed is extended too, unless somebody has claimed since."""
        lease = self.lease(token, labeler)
        holds = token in self.model.leases and self.model.holders[token][1] == lease.labeler
        longer = self.queue.heartbeat(lease)
        assert (longer is not None) == holds
        if longer is not None:
            assert longer.deadline_s > self.data.now_s() + 590
            self.model.leases[token] = False

    @rule(target=labels, token=tokens, labeler=WHO, answer=ANSWERS)
    def complete(self, token: str, labeler: str | None, answer: Answer):
        """In time, late, with a used-up token or with somebody else's; sent twice."""
        label = self.new_id()
        outcome = self.answer(token, labeler, label, answer)
        if outcome not in ("stored", "surplus"):
            return multiple()
        return label

    @rule(label=labels, token=tokens, answer=ANSWERS)
    def complete_under_a_used_id(self, label: str, token: str, answer: Answer) -> None:
        outcome = self.answer(token, None, label, answer)
        assert outcome in ("repeated", "conflict")

    @rule(label=labels)
    def complete_again(self, label: str) -> None:
        entry = self.model.entry(label)
        assert entry is not None
        answer, lease = entry.answer, Lease("over", entry.query, "", "", entry.labeler, 0.0)
        assert answer is not None
        assert self.outcome(lambda: self.queue.complete(lease, answer, label)) == "repeated"

    @rule(target=labels, label=labels, labeler=WHO)
    def retract(self, label: str, labeler: str | None):
        self.take_back(label, labeler, self.new_id())
        return multiple()

    @rule(label=labels, used=labels)
    def retract_under_a_used_id(self, label: str, used: str) -> None:
        self.take_back(label, None, used)

    @rule(query=QUERIES)
    def withdraw(self, query: str) -> None:
        expected = query in self.model.queries and self.model.lacks(query)
        assert self.queue.withdraw(query) == expected
        if expected:
            self.model.queries[query].withdrawn = True

    @rule(query=QUERIES, version=st.integers(0, 3), disagreement=st.sampled_from([0.25, 0.75]), stale=st.booleans())
    def rerank(self, query: str, version: int, disagreement: float, stale: bool) -> None:
        expected = self.model.rerank(query, version, disagreement, stale)
        for _ in range(2):  # the reply was lost: it is sent again
            assert self.queue.rerank(version, [Rank(query, disagreement, stale)]) == [expected]

    @rule(token=tokens, labeler=WHO)
    def give_back(self, token: str, labeler: str | None) -> None:
        lease = self.lease(token, labeler)
        holds = token in self.model.leases and self.model.holders[token][1] == lease.labeler
        assert self.queue.give_back(lease) == holds
        if holds:
            self.model.end(token)

    @rule(token=tokens, labeler=WHO)
    def set_aside(self, token: str, labeler: str | None) -> None:
        lease = self.lease(token, labeler)
        holds = token in self.model.leases and self.model.holders[token][1] == lease.labeler
        assert self.queue.set_aside(lease) == holds
        if holds:
            self.model.end(token)
            self.model.mine[lease.query_id, lease.labeler] = UNDRAWN
            if lease.query_id in self.model.undrawn and self.model.lacks(lease.query_id):
                self.model.queries[lease.query_id].withdrawn = True
            self.model.undrawn.add(lease.query_id)

    def lease(self, token: str, labeler: str | None) -> Lease:
        """As its holder would show it, or as `labeler` would who has got hold of the token."""
        query, owner = self.model.holders.get(token, ("q0", "ann"))
        return Lease(token, query, "", "", labeler or owner, 0.0)

    def answer(self, token: str, labeler: str | None, label: str, answer: Answer) -> str:
        lease = self.lease(token, labeler)
        outcome = self.outcome(lambda: self.queue.complete(lease, answer, label))
        assert outcome == self.model.complete(token, lease.query_id, lease.labeler, label, answer)
        if outcome in ("stored", "surplus"):
            assert self.outcome(lambda: self.queue.complete(lease, answer, label)) == "repeated"
        if outcome == "stored":
            asked = self.model.queries[lease.query_id]
            self.named |= {asked.left, asked.right}
        return outcome

    def take_back(self, label: str, labeler: str | None, retraction: str) -> None:
        entry = self.model.entry(label)
        assert entry is not None
        who = labeler or entry.labeler
        outcome = self.outcome(lambda: self.queue.retract(who, label, retraction))
        assert outcome == self.model.retract(who, label, retraction)

    def outcome(self, call: Any) -> str:
        try:
            done: Completion = call()
        except ConflictError:
            return "conflict"
        except LeaseLostError:
            return "lost"
        return "repeated" if done.repeated else "surplus" if done.surplus else "stored"

    @invariant()
    def r2_and_r4_hold(self) -> None:
        """At most one current label of each labeler on each query, at most `overlap` for each query."""
        current = self.model.current()
        assert max(Counter((e.query, e.labeler) for e in current).values(), default=0) <= 1
        assert max(Counter(e.query for e in current).values(), default=0) <= self.model.overlap

    @invariant()
    def r3_holds(self) -> None:
        """What is in the queue, what lacks an answer, what is leased: the model's, exactly."""
        model, prefix = self.model, self.data.prefix
        with self.data.client.pipeline(transaction=False) as pipe:
            pipe.zrange(f"{prefix}queries:open", 0, -1)
            pipe.smembers(f"{prefix}queries:pending")
            pipe.zrange(f"{prefix}leases", 0, -1)
            pipe.hgetall(f"{prefix}leases:held")
            pipe.hkeys(f"{prefix}leases:tokens")
            pipe.zrange(f"{prefix}leases:ended", 0, -1)
            for query in model.queries:
                pipe.hmget(f"{prefix}query:{query}", ["leased", "counted", "kept"])
            waiting, pending, leases, held, known, ended, *numbers = pipe.execute()
        assert {query.decode() for query in waiting} == set(filter(model.waits, model.queries))
        assert {query.decode() for query in pending} == set(filter(model.lacks, model.queries))
        assert {token.decode() for token in leases} == set(model.leases)
        holding = Counter(model.holders[token][1] for token in model.leases)
        assert {labeler.decode(): int(number) for labeler, number in held.items()} == holding
        assert {token.decode() for token in known} == set(model.holders)
        assert {token.decode() for token in ended} == set(model.holders) - set(model.leases)
        for query, fields in zip(model.queries, numbers, strict=True):
            kept = sum(entry.query == query and not entry.retracts for entry in model.log)
            assert list(map(int, fields)) == [model.leased(query), model.counted(query), kept]

    @invariant()
    def r5_holds(self) -> None:
        """The log only grows, and agrees with the counters; no clip is gone that a label names which counts."""
        log = self.data.labels_since(START)[0]
        assert [entry.cursor for entry in log[: len(self.seen)]] == self.seen
        self.seen = [entry.cursor for entry in log]
        assert self.seen == sorted(self.seen, key=lambda cursor: tuple(map(int, cursor.split("-"))))
        assert [
            Entry(e.label_id, e.query_id, e.labeler, e.answer, e.retracts, e.surplus) for e in log
        ] == self.model.log  # fmt: skip
        counts, current = self.data.counts(), self.model.current()
        assert counts["labels"] == len(current)
        assert counts["labels_incomparable"] == sum(entry.answer is Answer.INCOMPARABLE for entry in current)
        assert counts["labels_surplus"] == sum(entry.surplus and not entry.retracts for entry in self.model.log)
        assert counts["retractions"] == sum(bool(entry.retracts) for entry in self.model.log)
        assert counts["leases_expired"] == self.model.expired
        read = self.data.comparisons_since(START)[0]  # raises where a clip is gone
        assert [each.label.label_id for each in read] == [e.label for e in self.model.log if not e.surplus]
        assert set(self.data.clips.get(self.named)) == self.named
        droppable = {clip.decode() for clip in self.data.client.zrange(f"{self.data.prefix}clips:droppable", 0, -1)}
        assert not self.named & droppable


def test_whatever_is_done_in_whatever_order(database: ComparisonDatabase) -> None:
    QueueMachine.shared = database
    machine = QueueMachine.TestCase
    machine.settings = settings(
        max_examples=80,
        stateful_step_count=40,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )
    machine().runTest()
