"""Simulated people over HTTP: they label, and they can always be stopped."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from cluster.label import Serving
from cluster.label_server import LabelServer, LabelServerConfig, Served
from cluster.simulate import SimulatedPerson
from reward_service.comparisons import Answer
from reward_service.database import START, ComparisonDatabase
from tests.labeling.pool import TASK, offer_pairs

pytestmark = pytest.mark.redis


def test_a_perfect_person_says_the_truth_and_stops_though_the_server_is_gone(
    database: ComparisonDatabase, redis_url: str, tmp_path: Path
) -> None:
    offer_pairs(database, 5)
    server = LabelServer(Served(TASK, redis_url, database.run_id), tmp_path, LabelServerConfig(port=0))
    with server as address:
        link = Serving(address, redis_url, database.run_id, True, "").invites(1)[0]
        person = SimulatedPerson("perfect", address, link.rpartition("=")[2], database, 1)
        stop = threading.Event()
        assert all(person.label(stop) for _ in range(5))
        assert not person.label(stop)
    for label in database.labels_since(START)[0]:
        query = database.get_query(label.query_id)
        assert query is not None
        clips = database.get_clips([query.left, query.right])
        left_is_better = clips[query.left].true_return > clips[query.right].true_return
        assert label.answer == (Answer.LEFT if left_is_better else Answer.RIGHT)
    undeliverable = threading.Thread(target=person._deliver, args=({}, stop))
    undeliverable.start()
    stop.set()
    undeliverable.join(20)
    assert not undeliverable.is_alive()
    person.close()
