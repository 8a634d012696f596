import threading
import time
from collections import Counter

import numpy as np
import pytest

from labeling.queue import Completion, ConflictError, Lease, LeaseLostError, QueryQueue
from reward_service.comparisons import Answer, Query
from reward_service.database import START, ComparisonDatabase, connect
from tests.labeling.pool import one_step_clip, run_out

pytestmark = pytest.mark.redis


def fill(database: ComparisonDatabase, num_queries: int, overlap: int = 1) -> None:
    """Queries q0, q1, ... ; the later ones are the less wanted."""
    database.clips.put(one_step_clip(f"clip{n}", float(n)) for n in range(num_queries + 1))
    queries = [Query(f"q{n}", f"clip{n}", f"clip{n + 1}", 1 / (n + 1), 0, 0.0) for n in range(num_queries)]
    assert all(database.offer(queries, overlap=overlap))


def claimed(queue: QueryQueue, labeler: str = "ann") -> Lease:
    lease = queue.claim(labeler)
    assert lease is not None
    return lease


def queue_of(database: ComparisonDatabase, lease_s: float = 60.0) -> QueryQueue:
    return QueryQueue(database.client, database.run_id, lease_s)


def test_the_greatest_disagreement_is_asked_first_and_of_one_labeler_only(database: ComparisonDatabase) -> None:
    fill(database, 3)
    queue = queue_of(database)
    assert [claimed(queue, name).query_id for name in ("ann", "bob", "ann")] == ["q0", "q1", "q2"]
    assert queue.claim("cy") is None
    assert database.num_open_queries() == 3


def test_two_clips_and_a_deadline_come_with_a_lease(database: ComparisonDatabase) -> None:
    fill(database, 1)
    lease = claimed(queue_of(database, lease_s=100.0))
    assert (lease.left, lease.right, lease.labeler) == ("clip0", "clip1", "ann")
    assert lease.deadline_s - time.time() == pytest.approx(100.0, abs=5.0)


def test_an_answer_sent_twice_counts_once(database: ComparisonDatabase) -> None:
    fill(database, 1)
    queue = queue_of(database)
    lease = claimed(queue)
    first = queue.complete(lease, Answer.TIE, "l1")
    assert first == Completion("l1", first.cursor, surplus=False, repeated=False)
    assert queue.complete(lease, Answer.TIE, "l1") == Completion("l1", first.cursor, surplus=False, repeated=True)
    with pytest.raises(ConflictError, match="l1"):
        queue.complete(lease, Answer.LEFT, "l1")
    with pytest.raises(LeaseLostError):
        queue.complete(lease, Answer.TIE, "l2")
    assert database.num_labels() == 1
    assert database.num_open_queries() == 0
    assert len(database.labels_since(START)[0]) == 1


def test_a_token_is_good_for_its_own_query_and_labeler_only(database: ComparisonDatabase) -> None:
    fill(database, 2)
    queue = queue_of(database)
    mine, theirs = claimed(queue, "ann"), claimed(queue, "bob")
    for forged in (
        Lease(mine.token, theirs.query_id, "", "", "ann", 0.0),
        Lease(mine.token, mine.query_id, "", "", "bob", 0.0),
        Lease("0" * 32, mine.query_id, "", "", "ann", 0.0),
    ):
        with pytest.raises(LeaseLostError):
            queue.complete(forged, Answer.LEFT, "l1")
        if forged.labeler != "ann" or forged.token != mine.token:
            assert queue.heartbeat(forged) is None
    assert database.num_labels() == 0


def test_a_claim_whose_reply_was_lost_may_be_repeated(database: ComparisonDatabase) -> None:
    fill(database, 2)
    queue = queue_of(database)
    assert queue.claim("ann", token="t" * 32) == queue.claim("ann", token="t" * 32)
    assert queue.claim("bob", token="t" * 32) is None
    assert database.counts()["leases"] == 1


def test_an_abandoned_query_returns_to_the_pool(database: ComparisonDatabase) -> None:
    fill(database, 1)
    queue = queue_of(database)
    first = claimed(queue, "ann")
    assert queue.claim("bob") is None
    run_out(database, first.token)
    second = claimed(queue, "bob")
    assert second.query_id == "q0"
    run_out(database, second.token)
    assert claimed(queue, "ann").query_id == "q0", "with one labeler in the pool it would be lost otherwise"
    assert database.counts()["leases_expired"] == 2


def test_a_labeler_holds_a_query_from_claim_to_answer(database: ComparisonDatabase) -> None:
    fill(database, 1)
    queue = queue_of(database)
    assert queue.most_wanted(5) == ["q0"]
    lease = claimed(queue, "ann")
    assert queue.most_wanted(5) == []
    assert queue.holds("ann", "q0")
    assert not queue.holds("bob", "q0")
    assert not queue.holds("ann", "nothing")
    queue.complete(lease, Answer.LEFT, "l1")
    assert not queue.holds("ann", "q0")


def test_a_heartbeat_keeps_the_lease(database: ComparisonDatabase) -> None:
    fill(database, 1)
    queue = queue_of(database)
    lease = claimed(queue)
    longer = queue_of(database, lease_s=600.0).heartbeat(lease)
    assert longer is not None
    assert longer.deadline_s > lease.deadline_s + 500
    run_out(database, lease.token)
    assert queue.heartbeat(lease) is not None, "nobody has claimed since"
    assert queue.claim("bob") is None
    run_out(database, lease.token)
    claimed(queue, "bob")
    assert queue.heartbeat(lease) is None


def test_a_late_answer_counts_if_nobody_else_answered(database: ComparisonDatabase) -> None:
    fill(database, 1)
    queue = queue_of(database)
    late = claimed(queue, "ann")
    run_out(database, late.token)
    second = claimed(queue, "bob")
    assert not queue.complete(late, Answer.LEFT, "l1").surplus
    assert queue.complete(second, Answer.RIGHT, "l2").surplus
    assert database.num_labels() == 1
    assert [label.surplus for label in database.labels_since(START)[0]] == [False, True]
    assert [entry.label.label_id for entry in database.comparisons_since(START)[0]] == ["l1"]


def test_a_late_answer_never_overwrites_another(database: ComparisonDatabase) -> None:
    fill(database, 1)
    queue = queue_of(database)
    late = claimed(queue, "ann")
    run_out(database, late.token)
    queue.complete(claimed(queue, "bob"), Answer.RIGHT, "l1")
    assert queue.complete(late, Answer.LEFT, "l2").surplus
    assert queue.complete(late, Answer.LEFT, "l2").surplus
    assert database.counts()["labels_surplus"] == 1


def test_a_late_answer_is_known_for_a_week_and_its_token_not_for_ever(database: ComparisonDatabase) -> None:
    fill(database, 3)
    queue, ended = queue_of(database), f"{database.prefix}leases:ended"
    late, later = claimed(queue), claimed(queue)
    for lease, days in ((late, 6.9), (later, 7.1)):
        assert queue.give_back(lease)
        database.client.zadd(ended, {lease.token: database.now_s() - days * 86_400})
    last = claimed(queue, "bob")  # sweeps
    with pytest.raises(LeaseLostError):
        queue.complete(later, Answer.LEFT, "l1")
    queue.complete(late, Answer.LEFT, "l2")
    queue.complete(last, Answer.LEFT, "l3")
    for key in ("leases", "leases:tokens", "leases:ended", "leases:begun", "leases:held"):
        assert not database.client.exists(f"{database.prefix}{key}"), key


def test_leases_that_began_before_they_were_counted_end_well(database: ComparisonDatabase) -> None:
    fill(database, 4)
    queue, held = queue_of(database), f"{database.prefix}leases:held"
    old, new = claimed(queue), claimed(queue)
    database.client.hset(held, "ann", 1)  # old is of before
    for lease in (old, new):
        assert queue.give_back(lease)
    assert not database.client.exists(held)


def test_one_labeler_who_holds_a_query_twice_answers_it_once(database: ComparisonDatabase) -> None:
    fill(database, 1, overlap=2)
    queue = queue_of(database)
    late = claimed(queue)
    run_out(database, late.token)
    again = claimed(queue)
    assert not queue.complete(late, Answer.LEFT, "l1").surplus
    with pytest.raises(LeaseLostError):
        queue.complete(again, Answer.RIGHT, "l2")
    assert queue.claim("ann") is None
    assert claimed(queue, "bob").query_id == "q0"


def test_overlap_many_answers_are_counted_each_by_another_labeler(database: ComparisonDatabase) -> None:
    fill(database, 1, overlap=2)
    queue = queue_of(database)
    first, second = claimed(queue, "ann"), claimed(queue, "bob")
    assert queue.claim("ann") is None
    assert queue.claim("cy") is None
    assert not queue.complete(first, Answer.LEFT, "l1").surplus
    assert queue.claim("ann") is None
    assert database.num_open_queries() == 1
    assert not queue.complete(second, Answer.LEFT, "l2").surplus
    assert database.num_open_queries() == 0
    assert queue.claim("cy") is None


def test_how_many_answers_count_is_the_querys_whoever_serves_it(database: ComparisonDatabase) -> None:
    """As kept when it was offered; 1 where a run of before did not keep it."""
    fill(database, 2, overlap=3)
    database.client.hdel(f"{database.prefix}query:q1", "overlap")
    for number, labeler in enumerate(("ann", "bob", "cy")):
        queue = queue_of(database)
        assert not queue.complete(claimed(queue, labeler), Answer.LEFT, f"l{number}").surplus
        assert database.num_open_queries() == (1 if labeler == "cy" else 2)
    assert claimed(queue_of(database), "dan").query_id == "q1"
    assert queue_of(database).claim("ann") is None


def test_undo_reaches_the_log_once_and_asks_again(database: ComparisonDatabase) -> None:
    fill(database, 1)
    queue = queue_of(database)
    queue.complete(claimed(queue), Answer.LEFT, "l1")
    first = queue.retract("ann", "l1", "r1")
    assert queue.retract("ann", "l1", "r1") == Completion("r1", first.cursor, surplus=False, repeated=True)
    assert queue.retract("ann", "l1", "r2").cursor == first.cursor
    assert database.num_labels() == 0
    queue.complete(claimed(queue), Answer.RIGHT, "l2")
    labels = database.labels_since(START)[0]
    assert [(label.label_id, label.retracts) for label in labels] == [("l1", ""), ("r1", "l1"), ("l2", "")]
    assert database.num_labels() == 1
    assert database.counts()["retractions"] == 1
    with pytest.raises(LeaseLostError):
        queue.retract("bob", "l2", "r3")
    with pytest.raises(LeaseLostError):
        queue.retract("ann", "r1", "r3")
    with pytest.raises(ConflictError):
        queue.retract("ann", "l2", "r1")
    with pytest.raises(ConflictError):
        queue.retract("ann", "l2", "l1")


def test_a_repeated_answer_after_its_undo_does_not_count_again(database: ComparisonDatabase) -> None:
    fill(database, 1)
    queue = queue_of(database)
    lease = claimed(queue)
    queue.complete(lease, Answer.LEFT, "l1")
    queue.retract("ann", "l1", "r1")
    assert queue.complete(lease, Answer.LEFT, "l1").repeated
    assert database.num_labels() == 0


def test_a_withdrawn_query_is_forgotten_in_a_while_unless_somebody_answers_it_late(
    database: ComparisonDatabase,
) -> None:
    """A queue that nobody looks at is ranked anew night and day: what is withdrawn from it must not pile up."""
    fill(database, 2)
    queue = queue_of(database)
    lease = claimed(queue, "ann")
    for query in ("q0", "q1"):
        queue.withdraw(query)
    keys = [f"{database.prefix}query:{query}" for query in ("q0", "q1")]
    assert database.client.ttl(keys[0]) == -1, "ann holds it"
    assert 7 * 86400 < database.client.ttl(keys[1]) <= 14 * 86400  # type: ignore[operator]
    queue.give_back(lease)
    assert database.client.ttl(keys[0]) > 0  # type: ignore[operator]
    assert queue.complete(lease, Answer.LEFT, "l1").surplus
    assert database.client.ttl(keys[0]) == -1, "a label names it"
    assert len(database.clips.get(["clip0", "clip1"])) == 2


def test_a_withdrawn_query_is_not_asked_and_late_answers_are_kept(database: ComparisonDatabase) -> None:
    fill(database, 2)
    queue = queue_of(database)
    lease = claimed(queue)
    assert queue.withdraw("q0")
    assert queue.withdraw("q1")
    assert not queue.withdraw("nothing")
    assert queue.claim("bob") is None
    assert queue.complete(lease, Answer.LEFT, "l1").surplus
    assert database.num_open_queries() == 0


def test_what_one_labeler_cannot_be_shown_is_asked_of_others_only(database: ComparisonDatabase) -> None:
    fill(database, 2)
    queue = queue_of(database)
    lease = claimed(queue, "ann")
    assert not queue.set_aside(Lease(lease.token, "", "", "", "bob", 0.0))
    assert queue.set_aside(lease)
    assert not queue.set_aside(lease)
    assert [claimed(queue, "ann").query_id, claimed(queue, "bob").query_id] == ["q1", "q0"]
    assert queue.claim("ann") is None
    assert database.num_open_queries() == 2


def test_what_two_labelers_cannot_be_shown_is_asked_of_nobody(database: ComparisonDatabase) -> None:
    fill(database, 1, overlap=2)
    queue = queue_of(database)
    first, second = claimed(queue, "ann"), claimed(queue, "bob")
    assert queue.set_aside(first)
    assert queue.set_aside(second)
    assert database.num_open_queries() == 0
    assert queue.claim("cy") is None
    assert queue.complete(first, Answer.LEFT, "l1").surplus, "they could see it after all"


def test_what_the_only_labeler_cannot_be_shown_does_not_wait_for_ever(database: ComparisonDatabase) -> None:
    fill(database, 3)
    queue = queue_of(database)
    for _ in range(3):
        assert queue.set_aside(claimed(queue, "ann"))
    held, answered = claimed(queue, "bob"), claimed(queue, "cy")
    queue.complete(answered, Answer.LEFT, "l1")
    undrawn = f"{database.prefix}queries:undrawn"
    database.client.zadd(undrawn, dict.fromkeys(database.client.zrange(undrawn, 0, -1), 1.0))
    assert queue.claim("ann") is None  # whoever claims next sweeps
    assert database.num_open_queries() == 1
    queue.complete(held, Answer.LEFT, "l2")
    assert queue.claim("ann") is None
    assert database.num_labels() == 2
    assert database.client.zcard(undrawn) == 0


def test_double_senders_label_each_query_exactly_once(redis_url: str, database: ComparisonDatabase) -> None:
    """Eight labelers at once; every answer is sent twice, some are abandoned, some arrive late."""
    num_queries = 120
    fill(database, num_queries)
    failures: list[BaseException] = []

    def label(worker: int) -> None:
        rng = np.random.default_rng(worker)
        try:
            with connect(redis_url) as client:
                queue = QueryQueue(client, database.run_id, lease_s=0.2)
                while database.num_open_queries():
                    lease = queue.claim(f"labeler{worker}")
                    fate = rng.random()
                    if lease is None or fate < 0.05:
                        time.sleep(0.01)
                        continue
                    if fate < 0.1:
                        time.sleep(0.3)
                    name = f"{lease.query_id}-{worker}-{lease.token[:6]}"
                    first = queue.complete(lease, Answer.LEFT, name)
                    again = queue.complete(lease, Answer.LEFT, name)
                    assert (again.cursor, again.repeated) == (first.cursor, True)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=label, args=(worker,)) for worker in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures
    labels = database.labels_since(START)[0]
    assert Counter(label.query_id for label in labels if not label.surplus) == {f"q{n}": 1 for n in range(num_queries)}
    assert database.num_labels() == num_queries
    assert queue_of(database).claim("late") is None
