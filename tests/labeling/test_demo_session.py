"""The session of the small world, on a real Redis: determinism, the lesson, a person's answers, changes midway."""

from __future__ import annotations

import uuid
from typing import Any

import numpy as np
import pytest

from labeling.demo_config import DemoConfig, DemoError
from labeling.demo_session import EAGER_QUERIES, OFFLINE_LABELS, OFFLINE_STEPS, Session
from labeling.queue import QueryQueue
from reward_service.comparisons import Answer
from reward_service.database import START, ComparisonDatabase

pytestmark = pytest.mark.redis


def begin(database: ComparisonDatabase, **config: Any) -> Session:
    """A session in a run of its own."""
    return Session(DemoConfig(**config), ComparisonDatabase(database.client, f"test-{uuid.uuid4().hex}"))


def play(session: Session, until_step: int) -> Session:
    while session.num_steps < until_step or session.is_busy:
        assert session.step()
    return session


def test_the_map_is_found_and_labels_are_real(database: ComparisonDatabase):
    session = play(begin(database), 3000)
    figures = session.record.newest
    assert figures is not None
    assert len(session.ensemble) == EAGER_QUERIES == 300
    assert figures.match >= 0.95
    assert figures.optimal >= 0.95
    log, _ = session._database.labels_since(START)
    assert len(log) == 300
    assert {label.labeler for label in log} == {"oracle"}
    assert session._database.num_open_queries() == 0
    play(session, 3100)
    assert len(session.ensemble) == 302, "from now on a query every 50 steps"


def test_the_same_config_gives_the_same_session(database: ComparisonDatabase):
    first, again, other = (play(begin(database, seed=seed), 600) for seed in (4, 4, 5))
    np.testing.assert_array_equal(first.ensemble.members, again.ensemble.members)
    assert first.record == again.record
    assert not np.array_equal(first.ensemble.members, other.ensemble.members)


def test_offline_asks_about_the_first_steps_only_and_queries_that_are_switched_on_again_repair_it(
    database: ComparisonDatabase,
):
    session = play(begin(database, preset="offline", seed=3), OFFLINE_STEPS)
    assert len(session.ensemble) == OFFLINE_LABELS
    frozen = session.ensemble.rewards
    play(session, 400)
    np.testing.assert_array_equal(session.ensemble.rewards, frozen)
    before = session.record.newest
    assert before is not None
    assert before.optimal <= 0.85
    session.change(online=True)
    after = play(session, 1200).record.newest
    assert after is not None
    assert after.optimal >= 0.95 > before.optimal
    assert after.match > before.match


def answer_as_person(session: Session, answer: Answer | None = None) -> str:
    """Answers what is asked: by where the paths end, as the page tells a person to, unless told otherwise."""
    database = session._database
    queue = QueryQueue(database.client, database.run_id)
    lease = queue.claim("local")
    assert lease is not None
    if answer is None:
        clips = database.clips.get([lease.left, lease.right])
        ends = [
            session.grid.distances[clips[side].segment.observations[-1].argmax()] for side in (lease.left, lease.right)
        ]
        answer = Answer.TIE if ends[0] == ends[1] else Answer.LEFT if ends[0] < ends[1] else Answer.RIGHT
    label_id = uuid.uuid4().hex
    queue.complete(lease, answer, label_id)
    return label_id


def test_a_person_is_waited_for_and_learned_from(database: ComparisonDatabase):
    session = begin(database, preset="person")
    while session.step():
        pass
    stood = session.num_steps
    assert session.is_waiting
    assert not session.step()
    assert session.num_steps == stood, "the agent stands still"
    for _ in range(60):
        answer_as_person(session)
        while session.step():
            pass
    figures = session.record.newest
    assert figures is not None
    assert figures.labels == 60
    assert figures.optimal >= 0.6
    assert "You: " in session.record.events[-1].text


def test_an_answer_taken_back_is_unlearned_and_asked_again(database: ComparisonDatabase):
    session = begin(database, preset="person")
    judged = [np.zeros(session.grid.num_cells, int)]  # after each label
    for _ in range(3):
        while session.step():
            pass
        asked = session.record.asked
        assert asked is not None
        judged.append(judged[-1] + np.isin(np.arange(session.grid.num_cells), asked.left + asked.right))
        label_id = answer_as_person(session)
    while session.step():
        pass
    np.testing.assert_array_equal(session.judged, judged[3])
    QueryQueue(database.client, session._database.run_id).retract("local", label_id, uuid.uuid4().hex)
    assert not session.step()
    assert len(session.ensemble) == 2
    np.testing.assert_array_equal(session.judged, judged[2])
    for _ in range(2):
        label_id = answer_as_person(session, Answer.INCOMPARABLE)
    assert session.step()
    assert len(session.ensemble) == 2, "what cannot be told teaches nothing, and the agent goes on"
    QueryQueue(database.client, session._database.run_id).retract("local", label_id, uuid.uuid4().hex)
    while session.step():
        pass
    np.testing.assert_array_equal(session.judged, judged[2], "what taught nothing leaves nothing when it is taken back")


def test_the_labeler_changes_while_a_person_is_asked(database: ComparisonDatabase):
    session = begin(database, preset="person")
    while session.step():
        pass
    session.change(labeler="oracle")
    play(session, 400)
    assert len(session.ensemble) > 30
    session.change(labeler="person")
    while session.step():
        pass
    assert session.is_waiting
    session.change(online=False)
    assert session.step(), "who is not asked is not waited for"


def test_what_a_person_left_unanswered_is_not_taken_for_an_answer_to_the_newest_pair(database: ComparisonDatabase):
    session = begin(database, preset="person")
    while session.step():
        pass
    left = session.record.asked
    session.change(labeler="oracle")
    while session.record.asked is left:
        session.step()
    asked = session.record.asked
    assert left is not None
    assert asked is not None
    log, _ = session._database.labels_since(START)
    sides = session._database.sides_of([label.query_id for label in log])
    said = {sides[label.query_id]: label.answer for label in log}
    assert asked.answer == said[asked.clip_ids]
    assert left.clip_ids in said, "the oracle answers that, too"
    assert session._database.num_open_queries() == 0


def test_a_late_answer_about_an_older_pair_is_not_shown_under_the_newest(database: ComparisonDatabase):
    session = begin(database, preset="person")
    while session.step():
        pass
    queue = QueryQueue(database.client, session._database.run_id)
    lease = queue.claim("local")
    assert lease is not None
    session.change(labeler="oracle")
    play(session, session.num_steps + 10)
    session.change(labeler="person")
    while session.step():
        pass
    queue.complete(lease, Answer.INCOMPARABLE, uuid.uuid4().hex)
    assert not session.step(), "the newest pair waits"
    assert "You: cannot tell" in session.record.events[-1].text
    assert session.record.asked is not None
    assert session.record.asked.answer == ""


def test_random_queries_and_errors_are_settings(database: ComparisonDatabase):
    session = begin(database, selection="random", error_rate=0.3)
    play(session, 500)
    session.change(selection="disagreement", error_rate=0.0)
    play(session, 1000)
    log, _ = session._database.labels_since(START)
    clips = session._database.clips.get(
        [clip for query in session._database.sides_of([label.query_id for label in log]).values() for clip in query]
    )
    sides = session._database.sides_of([label.query_id for label in log])
    wrong = []
    for label in log:
        left, right = (clips[side].true_return for side in sides[label.query_id])
        wrong.append((label.answer is Answer.LEFT) != (left > right) if abs(left - right) > 1e-6 else False)
    assert 0.1 < np.mean(wrong[:48]) < 0.5
    assert not any(wrong[50:])


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"preset": "both"}, "choose one of oracle, person, offline"),
        ({"selection": "best"}, "by disagreement or at random"),
        ({"error_rate": 0.6}, "between 0 and 0.5"),
        ({"exploration": -0.1}, "between 0 and 1"),
        ({"members": 8}, "1 to 7 members"),
    ],
)
def test_what_no_demo_can_be(wrong: dict[str, Any], told: str):
    with pytest.raises(DemoError, match=told):
        DemoConfig(**wrong)


def test_nobody_else_may_label(database: ComparisonDatabase):
    with pytest.raises(DemoError, match="oracle or a person"):
        begin(database).change(labeler="crowd")
