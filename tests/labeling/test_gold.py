"""Gold pairs that an admin marks: asked again of everybody else, once, and never waiting in the queue."""

import re
import secrets
from collections.abc import Sequence

import pytest

from labeling.desk import GOLD_SHARE, Desk
from labeling.queue import Lease, QueryQueue, QueueError
from reward_service.comparison_rows import rows_of
from reward_service.comparisons import Answer, Comparison
from reward_service.database import START, ComparisonDatabase
from tests.labeling.pool import claim, damage, offer_pairs, run_out

pytestmark = pytest.mark.redis


@pytest.fixture
def queue(database: ComparisonDatabase) -> QueryQueue:
    return QueryQueue(database.client, database.run_id)


def answered(queue: QueryQueue, labeler: str, answer: Answer, label_id: str = "", gold: bool = False) -> Lease:
    lease = queue.claim(labeler, gold=gold)
    assert lease is not None
    queue.complete(lease, answer, label_id or secrets.token_hex(8))
    return lease


def comparisons(database: ComparisonDatabase) -> list[tuple[str, str]]:
    """(labeler, gold) of each."""
    return [(c.label.labeler, c.gold) for c in database.comparisons_since(START)[0] if isinstance(c, Comparison)]


def test_a_marked_pair_is_asked_of_everybody_else_once(database: ComparisonDatabase, queue: QueryQueue) -> None:
    offer_pairs(database, 4)
    marked = answered(queue, "boss", Answer.LEFT)
    assert queue.mark_gold("boss", marked.query_id) == queue.mark_gold("boss", marked.query_id) == "left"
    assert queue.num_gold() == 1
    for labeler in ("ann", "bob"):
        asked = answered(queue, labeler, Answer.RIGHT, gold=True)
        assert (asked.left, asked.right) == (marked.left, marked.right)
        assert asked.query_id != marked.query_id
    others = [answered(queue, labeler, Answer.LEFT, gold=True) for labeler in ("ann", "bob", "boss")]
    assert (marked.left, marked.right) not in [(lease.left, lease.right) for lease in others]
    assert comparisons(database) == [
        ("boss", ""),
        ("ann", "left"),
        ("bob", "left"),
        ("ann", ""),
        ("bob", ""),
        ("boss", ""),
    ]
    assert queue.claim("cy") is None  # an ordinary claim is never given one
    assert database.num_labels() == 6
    assert database.num_open_queries() == 0


def test_without_a_marked_pair_a_claim_for_gold_is_like_any_other(
    database: ComparisonDatabase, queue: QueryQueue
) -> None:
    ids = offer_pairs(database, 1)
    lease = queue.claim("ann", gold=True)
    assert lease is not None
    assert lease.query_id == ids[0]


def test_a_lost_reply_gives_the_same_gold_query(database: ComparisonDatabase, queue: QueryQueue) -> None:
    offer_pairs(database, 2)
    queue.mark_gold("boss", answered(queue, "boss", Answer.RIGHT).query_id)
    token = "t" * 32
    assert queue.claim("ann", token, gold=True) == queue.claim("ann", token, gold=True)
    assert database.counts()["leases"] == 1


@pytest.mark.parametrize("ending", ["given back", "expired", "taken back"])
def test_one_that_was_not_answered_waits_for_nobody_and_is_asked_again(
    database: ComparisonDatabase, queue: QueryQueue, ending: str
) -> None:
    offer_pairs(database, 1)
    queue.mark_gold("boss", answered(queue, "boss", Answer.LEFT).query_id)
    lease = queue.claim("ann", gold=True)
    assert lease is not None
    if ending == "given back":
        queue.give_back(lease)
    elif ending == "expired":
        run_out(database, lease.token)
    else:
        queue.complete(lease, Answer.LEFT, "l1")
        queue.retract("ann", "l1", "r1")
    assert queue.claim("bob") is None  # sweeps; and it is not for bob
    assert queue.claim("ann") is None
    assert database.num_open_queries() == 0
    again = queue.claim("ann", gold=True)
    assert again is not None
    assert again.query_id == lease.query_id
    assert database.num_open_queries() == 1
    assert len(database.clips.get([again.left, again.right])) == 2


def test_a_late_answer_is_kept_and_the_pair_not_asked_again(database: ComparisonDatabase, queue: QueryQueue) -> None:
    offer_pairs(database, 1)
    queue.mark_gold("boss", answered(queue, "boss", Answer.LEFT).query_id)
    lease = queue.claim("ann", gold=True)
    assert lease is not None
    run_out(database, lease.token)
    assert queue.claim("bob") is None
    assert queue.complete(lease, Answer.LEFT, "l1").surplus
    assert queue.claim("ann", gold=True) is None


def test_what_was_taken_back_or_unmarked_is_gold_no_longer(database: ComparisonDatabase, queue: QueryQueue) -> None:
    offer_pairs(database, 2)
    first = answered(queue, "boss", Answer.LEFT, "l1")
    second = answered(queue, "boss", Answer.LEFT, "l2")
    for lease in (first, second):
        queue.mark_gold("boss", lease.query_id)
    assert queue.mark_gold("boss", second.query_id, marked=False) == ""
    assert queue.num_gold() == 1
    queue.retract("boss", "l1", "r1")
    assert queue.num_gold() == 0
    lease = queue.claim("ann", gold=True)
    assert lease is not None
    assert lease.query_id == first.query_id  # asked again as any other
    assert queue.claim("bob", gold=True) is None


def test_a_mark_that_is_taken_back_leaves_nobodys_answer_gold(database: ComparisonDatabase, queue: QueryQueue) -> None:
    """The pair was asked of two as gold; then the admin unmarks it, marks it again, and takes the own answer back."""
    offer_pairs(database, 1)
    marked = answered(queue, "boss", Answer.LEFT, "l1")
    queue.mark_gold("boss", marked.query_id)
    pairs = {(marked.left, marked.right): "left"}
    for labeler in ("ann", "bob"):
        answered(queue, labeler, Answer.RIGHT, gold=True)
    stands = [("boss", "", False), ("ann", "left", True), ("bob", "left", True)]
    fell = [("boss", "", False), ("ann", "", True), ("bob", "", True)]

    def read() -> list[tuple[str, str, bool]]:
        items = database.comparisons_since(START)[0]
        return [(c.label.labeler, c.gold, c.is_marked) for c in items if isinstance(c, Comparison)]

    assert (read(), database.gold_marks()) == (stands, pairs)
    queue.mark_gold("boss", marked.query_id, marked=False)
    assert (read(), database.gold_marks()) == (fell, {})
    assert {row.gold for row in rows_of(database)} == {""}
    queue.mark_gold("boss", marked.query_id)
    assert (read(), database.gold_marks()) == (stands, pairs)
    queue.retract("boss", "l1", "r1")
    assert (read(), database.gold_marks()) == (fell, {})
    assert answered(queue, "boss", Answer.RIGHT, "l2").query_id == marked.query_id
    queue.mark_gold("boss", marked.query_id)
    assert [side for _, side, _ in read()] == ["", "right", "right", ""]


def test_only_an_own_answer_that_names_a_side_can_be_marked(database: ComparisonDatabase, queue: QueryQueue) -> None:
    offer_pairs(database, 3)
    tie, other = answered(queue, "boss", Answer.TIE), answered(queue, "ann", Answer.LEFT)
    for query_id in (tie.query_id, other.query_id, "nothing"):
        with pytest.raises(QueueError, match="left or right"):
            queue.mark_gold("boss", query_id)
    queue.mark_gold("ann", other.query_id)
    asked = answered(queue, "boss", Answer.LEFT, gold=True)
    with pytest.raises(QueueError):  # it is gold already
        queue.mark_gold("boss", asked.query_id)


def test_while_the_marked_query_itself_is_open_nobody_is_asked_it_twice(
    database: ComparisonDatabase, queue: QueryQueue
) -> None:
    offer_pairs(database, 1, overlap=2)
    marked = answered(queue, "boss", Answer.LEFT)
    queue.mark_gold("boss", marked.query_id)
    first = answered(queue, "ann", Answer.LEFT, gold=True)
    assert first.query_id == marked.query_id
    assert queue.claim("ann", gold=True) is None
    assert answered(queue, "bob", Answer.LEFT, gold=True).query_id != marked.query_id


def test_who_answered_a_pair_as_gold_is_not_given_it_when_its_own_query_is_asked_again(
    database: ComparisonDatabase, queue: QueryQueue
) -> None:
    offer_pairs(database, 1)
    marked = answered(queue, "boss", Answer.LEFT, "l1")
    queue.mark_gold("boss", marked.query_id)
    answered(queue, "ann", Answer.LEFT, gold=True)
    held = queue.claim("bob", gold=True)
    assert held is not None
    queue.retract("boss", "l1", "r1")
    assert queue.claim("ann") is None
    assert queue.claim("bob") is None, "holds it"
    queue.give_back(held)
    assert answered(queue, "bob", Answer.LEFT).query_id == marked.query_id


def test_a_marked_pair_that_cannot_be_read_is_not_claimed_again_and_again(
    database: ComparisonDatabase, queue: QueryQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("labeling.desk.GOLD_SHARE", 1.0)
    ids = offer_pairs(database, 2)
    marked = answered(queue, "boss", Answer.LEFT)
    queue.mark_gold("boss", marked.query_id)
    damage(database, marked.left)
    pair = claim(Desk(queue, database), "ann")
    assert pair is not None
    assert pair.lease.query_id == ids[1]


class Listening(QueryQueue):
    """Gives nothing, and remembers which claims were for gold."""

    def __init__(self, database: ComparisonDatabase) -> None:
        super().__init__(database.client, database.run_id)
        self.golds: list[bool] = []

    def claim_all(self, wishes: Sequence[tuple[str, str, bool]], most_leases: int = 0) -> list[Lease | None]:
        self.golds += [gold for _, _, gold in wishes]
        return [None] * len(wishes)


def drawn(database: ComparisonDatabase, tokens: Sequence[str]) -> list[bool]:
    """Which of the tokens a new desk takes for gold."""
    queue = Listening(database)
    Desk(queue, database).claim_all([("ann", token) for token in tokens])
    return queue.golds


def test_one_claim_in_twenty_is_for_gold(database: ComparisonDatabase) -> None:
    golds = drawn(database, [f"token-{number:026}" for number in range(4000)])
    assert sum(golds) / len(golds) == pytest.approx(GOLD_SHARE, abs=0.02)  # over five deviations


def test_who_makes_the_tokens_cannot_tell_which_are_for_gold(database: ComparisonDatabase) -> None:
    tokens = [f"token-{number:026}" for number in range(4000)]
    one, other = drawn(database, tokens), drawn(database, tokens)
    assert one != other
    found = [token for token, gold in zip(tokens, one, strict=True) if gold]
    assert sum(drawn(database, found)) < len(found) / 2  # what one desk takes for gold is for another a draw like any


def test_an_id_does_not_tell_that_a_pair_was_marked(database: ComparisonDatabase, queue: QueryQueue) -> None:
    ids = offer_pairs(database, 1)
    marked = answered(queue, "boss", Answer.LEFT)
    queue.mark_gold("boss", marked.query_id)
    asked = answered(queue, "ann", Answer.LEFT, gold=True)
    assert re.fullmatch("[0-9a-f]{32}", asked.query_id)
    assert len(asked.query_id) == len(ids[0])
