"""The desk: sides by lot, answers understood as they were shown."""

from __future__ import annotations

import json
import secrets

import numpy as np
import pytest

from actors.trajectory import Clip, Segment
from labeling.desk import MOST_LEASES, Desk, Given, is_mirrored
from labeling.queue import LeaseLostError, QueryQueue
from reward_service.codec import FORMAT_VERSION, encode_clip
from reward_service.comparisons import Answer, Query
from reward_service.database import START, ComparisonDatabase
from tests.labeling.pool import answer, claim, damage

pytestmark = pytest.mark.redis


def _clip(name: str) -> Clip:
    segment = Segment(np.zeros((4, 3), np.float32), np.zeros((4, 1), np.float32))
    return Clip(name, segment, np.zeros((4, 2), np.float32), 1.0, 0)


@pytest.fixture
def desk(database: ComparisonDatabase) -> Desk:
    clips = [_clip(f"clip{index}") for index in range(8)]
    database.clips.put(clips)
    database.offer([Query(f"query{index}", f"clip{index}", f"clip{index + 4}", 0.1, 1, 0.0) for index in range(4)])
    return Desk(QueryQueue(database.client, database.run_id), database)


def _token(mirrored: bool) -> str:
    while is_mirrored(token := secrets.token_hex(16)) != mirrored:
        pass
    return token


def _given(labeler: str, token: str, query_id: str, answer: Answer) -> Given:
    return Given(labeler, token, query_id, secrets.token_hex(16), answer)


def test_the_lot_is_fair_and_fixed_by_the_token() -> None:
    tokens = [f"token-{index:020d}" for index in range(2000)]
    mirrored = [is_mirrored(token) for token in tokens]
    assert 0.45 < np.mean(mirrored) < 0.55
    assert mirrored == [is_mirrored(token) for token in tokens]


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize(
    ("shown", "unmirrored", "stored_mirrored"),
    [("left", "left", "right"), ("right", "right", "left"), ("tie", "tie", "tie"),
     ("incomparable", "incomparable", "incomparable")],
)  # fmt: skip
def test_an_answer_is_stored_as_it_was_shown(
    desk: Desk, mirrored: bool, shown: str, unmirrored: str, stored_mirrored: str
) -> None:
    token = _token(mirrored)
    pair = claim(desk, "anna", token)
    assert pair is not None
    first, second = (pair.right, pair.left) if mirrored else (pair.left, pair.right)
    assert (first.clip_id, second.clip_id) == (pair.lease.left, pair.lease.right)
    answer(desk, _given("anna", token, pair.lease.query_id, Answer(shown)), {"response_s": 2.5})
    labels, _ = desk.database.labels_since(START)
    assert labels[0].answer == (stored_mirrored if mirrored else unmirrored)
    assert json.loads(labels[0].evidence) == {"response_s": 2.5, "mirrored": mirrored}


def test_the_same_token_again_gives_the_same_pair_on_the_same_sides(desk: Desk) -> None:
    token = secrets.token_hex(16)
    first, again = claim(desk, "anna", token), claim(desk, "anna", token)
    assert first is not None
    assert again is not None
    assert first.lease.query_id == again.lease.query_id
    assert first.left.clip_id == again.left.clip_id


def test_a_pair_whose_clip_is_gone_is_withdrawn_and_the_next_one_given(desk: Desk) -> None:
    database = desk.database
    lease = desk.queue.claim("ben")
    assert lease is not None
    desk.queue.give_back(lease)
    database.client.delete(f"{database.prefix}clip:{lease.left}")
    pair = claim(desk, "anna")
    assert pair is not None
    assert pair.lease.query_id != lease.query_id
    assert database.counts()["leases"] == 1
    assert database.num_open_queries() == 3


def test_a_pair_whose_clip_cannot_be_read_holds_nobody_up(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    """Damaged bytes, and those of a version that is newer than this server."""
    database = desk.database
    newer = bytearray(encode_clip(_clip("clip1")))
    newer[4] = FORMAT_VERSION + 1
    damage(database, "clip0")
    damage(database, "clip1", bytes(newer))
    pairs = desk.claim_all([(name, secrets.token_hex(16)) for name in ("anna", "ben", "cleo", "dan")])
    assert {pair.lease.query_id for pair in pairs if pair} == {"query2", "query3"}
    assert database.num_open_queries() == database.counts()["leases"] == 2
    assert f"version {FORMAT_VERSION + 1} is unknown" in caplog.text


def test_claims_together_are_what_each_would_be_alone(desk: Desk) -> None:
    database = desk.database
    gone = desk.queue.claim("ben")
    assert gone is not None
    desk.queue.give_back(gone)
    database.client.delete(f"{database.prefix}clip:{gone.left}")
    several = [(name, secrets.token_hex(16)) for name in ("anna", "ben", "cleo", "dan")]
    pairs = desk.claim_all(several)
    assert [pair is not None for pair in pairs].count(True) == 3  # of four queries one cannot be shown
    for (labeler, token), pair in zip(several, pairs, strict=True):
        assert pair is None or (pair.lease.labeler, pair.lease.token) == (labeler, token)
    assert len({pair.lease.query_id for pair in pairs if pair} | {gone.query_id}) == 4
    again = desk.claim_all(several)
    assert [pair and pair.lease.query_id for pair in again] == [pair and pair.lease.query_id for pair in pairs]
    assert desk.claim_all([]) == []


def test_nobody_holds_more_pairs_than_a_few_tabs_need(desk: Desk) -> None:
    database = desk.database
    database.clips.put([_clip(f"more{index}") for index in range(41)])
    database.offer([Query(f"m{index}", f"more{index}", f"more{index + 1}", 0.1, 1, 0.0) for index in range(40)])
    tokens = [secrets.token_hex(16) for _ in range(MOST_LEASES)]
    held = desk.claim_all([("anna", token) for token in tokens])
    assert None not in held
    assert claim(desk, "anna") is None
    assert desk.holds_most("anna")
    assert claim(desk, "ben") is not None
    assert not desk.holds_most("ben")
    again = claim(desk, "anna", tokens[0])  # the reply was lost
    assert again is not None
    answer(desk, _given("anna", tokens[0], again.lease.query_id, Answer.LEFT))
    assert claim(desk, "anna") is not None
    assert claim(desk, "anna") is None
    database.client.zadd(f"{database.prefix}leases", dict.fromkeys(tokens[1:], 1.0))  # they ran out
    assert claim(desk, "anna") is not None


def test_a_withdrawn_pair_is_asked_of_nobody_and_only_its_holder_may_withdraw(desk: Desk) -> None:
    token = secrets.token_hex(16)
    pair = claim(desk, "anna", token)
    assert pair is not None
    assert not desk.withdraw("ben", token)
    assert desk.withdraw("anna", token)
    assert not desk.withdraw("anna", token)
    others = {claimed.lease.query_id for _ in range(3) if (claimed := claim(desk, "ben"))}
    assert len(others) == 3
    assert pair.lease.query_id not in others


def test_somebody_elses_lease_takes_no_answer(desk: Desk) -> None:
    token = secrets.token_hex(16)
    pair = claim(desk, "anna", token)
    assert pair is not None
    with pytest.raises(LeaseLostError):
        answer(desk, _given("ben", token, pair.lease.query_id, Answer.LEFT))
    assert desk.database.num_labels() == 0


def test_a_heartbeat_extends_a_lease_and_only_its_holders(desk: Desk) -> None:
    token = secrets.token_hex(16)
    pair = claim(desk, "anna", token)
    assert pair is not None
    later = desk.heartbeat("anna", token)
    assert later is not None
    assert later >= pair.lease.deadline_s
    assert desk.heartbeat("ben", token) is None


def test_a_lease_given_back_still_takes_a_late_answer(desk: Desk) -> None:
    token = secrets.token_hex(16)
    pair = claim(desk, "anna", token)
    assert pair is not None
    assert desk.queue.give_back(pair.lease)
    assert not desk.queue.give_back(pair.lease)
    completion = answer(desk, _given("anna", token, pair.lease.query_id, Answer.TIE))
    assert not completion.surplus
    assert desk.database.num_labels() == 1
