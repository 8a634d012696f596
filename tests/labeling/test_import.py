"""Labels of another run about queries that this run asks too: the promises R2 and R4 hold, and nothing is stranded."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors.trajectory import Clip, Segment
from labeling.queue import QueryQueue
from reward_service.client import DatabaseError
from reward_service.codec import encode_clip
from reward_service.comparison_rows import rows_of
from reward_service.comparisons import Answer, Label, Query
from reward_service.database import ComparisonDatabase
from reward_service.keys import START

pytestmark = pytest.mark.redis


def clip(number: int) -> Clip:
    segment = Segment(np.full((4, 2), number, np.float32), np.full((4, 1), number, np.float32))
    return Clip(f"clip{number}", segment, np.zeros((4, 0), np.float32), float(number), 0)


def imported(
    database: ComparisonDatabase, label_id: str, labeler: str = "local", retracts: str = "", query: str = "q"
) -> bool:
    """Another run's version of a label about clips 0 and 1."""
    answer = None if retracts else Answer.RIGHT
    return database.import_comparison(clip(0), clip(1), Label("", label_id, query, labeler, answer, retracts, 12.5))


def standing(database: ComparisonDatabase) -> list[Label]:
    """Labels that count now."""
    log = database.labels_since(START)[0]
    gone = {label.retracts for label in log}
    return [label for label in log if label.answer and not label.surplus and label.label_id not in gone]


@pytest.fixture
def queue(database: ComparisonDatabase) -> QueryQueue:
    """Of a run that asks one query."""
    database.clips.put([clip(0), clip(1)])
    database.offer([Query("q", "clip0", "clip1", 0.5, 1, 0.0)])
    return QueryQueue(database.client, database.run_id)


def answered(queue: QueryQueue, labeler: str, label_id: str) -> bool:
    """Whether the answer is surplus."""
    lease = queue.claim(labeler)
    assert lease is not None
    return queue.complete(lease, Answer.LEFT, label_id).surplus


def test_who_has_answered_here_has_one_label_that_counts(database: ComparisonDatabase, queue: QueryQueue) -> None:
    assert not answered(queue, "local", "a1")
    assert imported(database, "b1")
    assert [label.label_id for label in standing(database)] == ["a1"]
    assert database.num_labels() == 1
    queue.retract("local", "a1", "undo")
    assert standing(database) == []
    assert not answered(queue, "local", "a2"), "it is asked again, and the other run's answer stays surplus"


def test_a_name_is_one_labeler_though_two_files_bring_it(database: ComparisonDatabase) -> None:
    assert imported(database, "a1")
    assert imported(database, "b1")
    assert imported(database, "c1", "ann")
    assert [label.label_id for label in standing(database)] == ["a1", "c1"]


def test_an_import_answers_a_query_that_is_open(database: ComparisonDatabase, queue: QueryQueue) -> None:
    assert imported(database, "b1", "ann")
    assert (database.num_open_queries(), database.counts()["queries_waiting"]) == (0, 0)
    assert queue.claim("local") is None
    assert imported(database, "b2", "bob")
    assert [label.label_id for label in standing(database)] == ["b1"], "it has room for one"
    assert imported(database, "undo", "ann", "b1")
    assert database.num_open_queries() == 1
    assert queue.claim("bob") is None, "nobody is asked twice"
    assert not answered(queue, "local", "a1")


def test_an_import_under_a_lease_leaves_its_holders_answer_as_surplus(
    database: ComparisonDatabase, queue: QueryQueue
) -> None:
    lease = queue.claim("local")
    assert lease is not None
    assert imported(database, "b1")
    assert queue.complete(lease, Answer.LEFT, "a1").surplus
    assert [label.label_id for label in standing(database)] == ["b1"]
    assert database.counts()["leases"] == 0


def test_an_import_holds_the_clips_of_a_query_that_was_withdrawn(
    database: ComparisonDatabase, queue: QueryQueue
) -> None:
    assert queue.withdraw("q")
    key = f"{database.prefix}query:q"
    assert database.client.ttl(key) > 0  # pyright: ignore[reportOperatorIssue]
    assert imported(database, "b1")
    assert database.client.ttl(key) == -1
    small = ComparisonDatabase(database.client, database.run_id, 2 * len(encode_clip(clip(2))))
    assert small.clips.put([clip(2), clip(3)]) == [False, False], "a label names what is stored"
    assert len(small.comparisons_since(START)[0]) == 1
    assert [row.label.label_id for row in rows_of(small)] == ["b1"]
    assert database.num_open_queries() == 0


def test_what_an_import_made_is_never_asked(database: ComparisonDatabase) -> None:
    assert imported(database, "b1", "ann")
    assert imported(database, "undo", "ann", "b1")
    queue = QueryQueue(database.client, database.run_id)
    assert (queue.claim("ann"), database.num_open_queries()) == (None, 0)


def test_a_retraction_of_what_is_another_querys_is_refused(database: ComparisonDatabase) -> None:
    assert imported(database, "b1")
    for wrong in ("q2", "q"):
        if wrong == "q":
            assert imported(database, "undo", retracts="b1")
        with pytest.raises(DatabaseError, match="cannot be imported"):
            imported(database, "other", retracts="b1" if wrong == "q2" else "undo", query=wrong)


WHO = st.sampled_from(["local", "ann", "bob"])
DEEDS = st.lists(st.tuples(st.sampled_from(["answer", "import", "retract", "withdraw"]), WHO), max_size=10)


@given(deeds=DEEDS, overlap=st.integers(1, 2))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_done_no_promise_is_broken(
    database: ComparisonDatabase, deeds: list[tuple[str, str]], overlap: int
) -> None:
    data = ComparisonDatabase(database.client, f"{database.run_id}-{secrets.token_hex(4)}")
    data.clips.put([clip(0), clip(1)])
    data.offer([Query("q", "clip0", "clip1", 0.5, 1, 0.0)], overlap=overlap)
    queue, is_withdrawn = QueryQueue(data.client, data.run_id), False

    def claim_and_answer(who: str, number: int) -> None:
        if lease := queue.claim(who):
            queue.complete(lease, Answer.LEFT, f"own{number}")

    def retract(who: str, number: int) -> None:
        mine = [label for label in standing(data) if label.labeler == who]
        if mine:
            queue.retract(who, mine[0].label_id, f"undo{number}")

    do: dict[str, Callable[[str, int], object]] = {
        "answer": claim_and_answer,
        "import": lambda who, number: imported(data, f"import{number}", who),
        "retract": retract,
        "withdraw": lambda _, __: queue.withdraw("q"),
    }
    for number, (deed, who) in enumerate(deeds):
        found = do[deed](who, number)
        is_withdrawn = is_withdrawn or (deed == "withdraw" and found is True)
        counting = standing(data)
        assert len(counting) == data.num_labels() <= overlap
        assert max(Counter(label.labeler for label in counting).values(), default=0) <= 1
        assert data.num_open_queries() == (not is_withdrawn and len(counting) < overlap)
        held = data.client.hget(f"{data.prefix}query:q", "held")
        assert (held == b"1") == (bool(data.labels_since(START)[0]) or not is_withdrawn)
