"""A stored clip that is damaged, or of a newer twoclips, costs what names it and nothing else."""

from __future__ import annotations

import json

import pytest
from starlette.testclient import TestClient

from labeling.oracle import OracleConfig, SyntheticLabeler
from labeling.queue import QueryQueue
from labeling.server import PoolConfig, make_app
from reward_service.comparisons import Answer
from reward_service.database import ComparisonDatabase
from tests.labeling import paintings
from tests.labeling.pool import HEADERS, TASK, claimed_pair, damage, offer_pairs

pytestmark = pytest.mark.redis

BASE = "http://127.0.0.1:8765"


def damage_left(database: ComparisonDatabase, query_id: str) -> None:
    damage(database, database.sides_of([query_id])[query_id][0])


def test_a_synthetic_labeler_withdraws_the_query_and_answers_the_others(database: ComparisonDatabase) -> None:
    wanted, *_ = offer_pairs(database, 3)
    damage_left(database, wanted)
    queue = QueryQueue(database.client, database.run_id)
    assert SyntheticLabeler(OracleConfig(), queue, database, seed=0).step() == 2
    assert database.num_open_queries() == 0
    assert database.counts()["leases"] == 0


def test_a_synthetic_labeler_is_not_given_a_marked_pair_of_it_again(database: ComparisonDatabase) -> None:
    [query_id] = offer_pairs(database, 1)
    queue = QueryQueue(database.client, database.run_id)
    lease = queue.claim("boss")
    assert lease is not None
    queue.complete(lease, Answer.LEFT, "l1")
    queue.mark_gold("boss", query_id)
    damage_left(database, query_id)
    queue.retract("boss", "l1", "r1")
    assert SyntheticLabeler(OracleConfig(), queue, database, seed=0).step() == 0
    assert queue.num_held("oracle") == 0
    assert queue.claim("oracle") is None


def test_an_admins_download_has_all_other_labels(
    database: ComparisonDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    ids = offer_pairs(database, 3)
    queue = QueryQueue(database.client, database.run_id)
    for number in range(3):
        lease = queue.claim("ann")
        assert lease is not None
        queue.complete(lease, Answer.LEFT, f"l{number}")
    damage_left(database, ids[0])
    with TestClient(make_app(PoolConfig(database.run_id, TASK), database.client), BASE, headers=HEADERS) as client:
        reply = client.get("/api/admin/comparisons")
    assert [json.loads(line)["label_id"] for line in reply.text.splitlines()] == ["l1", "l2"]
    assert "1 entries of the log were not exported: a clip of each cannot be read" in caplog.messages


def test_a_picture_of_it_is_not_there(database: ComparisonDatabase) -> None:
    paintings.offer_dots(database, 1)
    app = make_app(PoolConfig(database.run_id, paintings.TASK), database.client)
    with TestClient(app, BASE, headers=HEADERS, raise_server_exceptions=False) as client:
        pair = claimed_pair(client)
        damage_left(database, pair["query"])
        assert client.get(pair["strip"]["url"]).status_code == 410
