"""A Redis whose `maxmemory` is reached refuses clips, never labels, and nothing that works with it ends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from starlette.testclient import TestClient

from actors.trajectory import Clip, Segment
from cluster.redis_server import PrivateRedis
from labeling.labelers import LabelerPool, Role
from labeling.queue import QueryQueue
from labeling.queue_records import Rank
from labeling.server import PoolConfig, make_app
from reward_service.client import DatabaseError, connect
from reward_service.comparisons import Answer, Label, Offered, Query
from reward_service.database import ComparisonDatabase
from reward_service.keys import START
from tests.labeling.pool import HEADERS, TASK, answer_to, claimed_pair, leave_alone, offer_pairs

pytestmark = pytest.mark.redis


def clip(number: int) -> Clip:
    segment = Segment(np.full((4, 2), number, np.float32), np.full((4, 1), number, np.float32))
    return Clip(f"clip{number}", segment, np.zeros((4, 0), np.float32), float(number), 0)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[ComparisonDatabase]:
    """A run on a server of its own, with three queries about six clips."""
    with PrivateRedis(tmp_path) as url, connect(url) as client:
        database = ComparisonDatabase(client, "run")
        database.clips.put(map(clip, range(8)))
        queries = [Query(f"q{n}", f"clip{2 * n}", f"clip{2 * n + 1}", 1.0 - n / 4, 1, 0.0) for n in range(3)]
        assert all(database.offer(queries))
        yield database


def fill_up(database: ComparisonDatabase) -> None:
    database.client.config_set("maxmemory", 1)
    with pytest.raises(Exception, match="maxmemory"):
        database.client.set("other", "1")


def test_labels_come_in_and_are_taken_back(own: ComparisonDatabase) -> None:
    queue = QueryQueue(own.client, "run")
    held, late = queue.claim("ann"), queue.claim("bob")
    assert held is not None
    assert late is not None
    own.client.zadd(f"{own.prefix}leases", {late.token: 1.0})
    fill_up(own)
    assert queue.heartbeat(held) is not None
    assert not queue.complete(held, Answer.LEFT, "l1").surplus
    assert not queue.retract("ann", "l1", "r1").surplus
    claimed = queue.claim("cy")
    assert claimed is not None
    assert not queue.complete(claimed, Answer.LEFT, "l2").surplus
    queue.complete(late, Answer.LEFT, "l3")
    assert [label.label_id for label in own.labels_since(START)[0]] == ["l1", "r1", "l2", "l3"]
    given = queue.claim("cy")
    assert given is not None
    assert queue.set_aside(given)
    assert queue.rerank(2, [Rank("q2", 0.5, False)]) == ["ranked"]
    assert queue.withdraw("q2")


def test_people_get_in_and_label(own: ComparisonDatabase) -> None:
    offer_pairs(own, 2)
    app = make_app(PoolConfig("run", TASK, invited_only=True), own.client)
    fill_up(own)
    with TestClient(app, base_url="http://127.0.0.1:8765", headers=HEADERS) as client:
        invite = LabelerPool(own.client, "run").invite("ada", role=Role.ADMIN)
        assert client.post("/api/sessions", json={"invite": invite}).status_code == 200
        own.client.config_set("maxmemory", 0)
        leave_alone(own, 120.0)  # so that its next request is written down
        fill_up(own)
        given = answer_to(claimed_pair(client))
        assert client.post("/api/answers", json=given).status_code == 200
        assert client.post("/api/admin/gold", json={"query": given["query"]}).status_code == 200
    assert own.num_labels() == 1


def test_clips_are_refused_and_counted_and_so_are_the_queries_that_name_them(own: ComparisonDatabase) -> None:
    fill_up(own)
    assert own.clips.put([clip(8), clip(9)]) == [False, False]
    assert own.counts()["clips_refused"] == 2
    assert own.offer([Query("q8", "clip8", "clip9", 0.1, 1, 0.0)]) == [Offered.REFUSED]
    assert own.offer([Query("q6", "clip6", "clip7", 0.1, 1, 0.0)]) == [Offered.QUEUED], "its clips are there"
    own.client.config_set("maxmemory", 0)
    assert own.clips.put([clip(8)]) == [True]


def test_snapshots_and_statuses_are_published(own: ComparisonDatabase) -> None:
    fill_up(own)
    own.set_status("run", {"steps": 1})
    assert own.snapshots.put(1, b"payload", "5-0")
    assert len(own.snapshots.publications()) == 1


def test_an_import_says_what_to_do_and_takes_in_nothing(own: ComparisonDatabase) -> None:
    fill_up(own)
    label = Label("", "l1", "imported", "bob", Answer.LEFT, "", 12.5)
    with pytest.raises(DatabaseError, match="raise its maxmemory"):
        own.import_comparison(clip(8), clip(9), label)
    assert own.num_labels() == 0
    own.client.config_set("maxmemory", 0)
    assert own.import_comparison(clip(8), clip(9), label)
