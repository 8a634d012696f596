"""People label over HTTP while the labeling server and Redis are killed and replies are swallowed. An observer outside
of every killed process holds what was acknowledged against what the log says afterwards."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import httpx2
import pytest
import redis

from cluster.label import Serving
from cluster.label_server import LabelServer, LabelServerConfig, Served
from cluster.redis_server import PrivateRedis
from cluster.simulate import SimulatedPerson
from reward_service.client import connect
from reward_service.comparisons import Label
from reward_service.database import START, ComparisonDatabase
from tests.labeling.dropping_proxy import DroppingProxy
from tests.labeling.pool import TASK, offer_pairs

pytestmark = pytest.mark.redis

PEOPLE = 4


def _kill_redis(private: PrivateRedis) -> None:
    process = private.process_id
    assert process is not None
    os.kill(process, signal.SIGKILL)
    private.start()


def _kill_server(server: LabelServer) -> None:
    process = server.process_id
    if process is not None:  # else the last kill's successor is still on its way
        os.kill(process, signal.SIGKILL)


def _whole_log(private: PrivateRedis) -> list[Label]:
    client = connect(private.url)
    try:
        database, labels, cursor = ComparisonDatabase(client, "run"), [], START
        while True:
            more, cursor = database.labels_since(cursor)
            if not more:
                return labels
            labels += more
    finally:
        client.close()


def _label_for_ever(person: SimulatedPerson, stop: threading.Event) -> None:
    while not stop.is_set():
        try:
            person.label(stop)
            stop.wait(0.4)  # so that there is always something left to label
        except (httpx2.HTTPError, redis.RedisError):
            stop.wait(0.2)


def _survive(folder: Path, faults: int, pause_s: float) -> tuple[int, int, int]:
    """Labels acknowledged, lost and doubled over `faults` faults."""
    dice = random.Random(1)
    with ExitStack() as stack:
        private = PrivateRedis(folder)
        stack.enter_context(private)
        client = connect(private.url)
        stack.callback(client.close)
        database = ComparisonDatabase(client, "run")
        offer_pairs(database, 400 + 40 * faults)
        proxy = stack.enter_context(DroppingProxy(folder / "proxy.sock", Path(private.url.removeprefix("unix://"))))
        server = LabelServer(Served(TASK, proxy.url, "run"), folder, LabelServerConfig(port=0))
        address = stack.enter_context(server)
        links = Serving(address, private.url, "run", True, "").invites(PEOPLE)
        people = [
            SimulatedPerson("perfect", address, link.rpartition("=")[2], database, index)
            for index, link in enumerate(links)
        ]
        stop = threading.Event()
        threads = [threading.Thread(target=_label_for_ever, args=(person, stop)) for person in people]
        for thread in threads:
            thread.start()
        kinds = [lambda: _kill_redis(private), lambda: _kill_server(server), proxy.drop_next, proxy.drop_next]
        for fault in range(faults):
            time.sleep(pause_s * dice.uniform(0.5, 1.5))
            kinds[fault % len(kinds)]()
        before = sum(len(person.acknowledged) for person in people)
        deadline_s = time.monotonic() + 60
        while sum(len(person.acknowledged) for person in people) < before + 2 * PEOPLE:  # it goes on afterwards
            assert time.monotonic() < deadline_s, "labeling did not go on after the last fault"
            time.sleep(0.1)
        stop.set()
        for thread in threads:
            thread.join(60)
        assert proxy.dropped > 0
        _kill_redis(private)
        acknowledged = {label_id for person in people for label_id in person.acknowledged}
        log = _whole_log(private)
        times = Counter(label.label_id for label in log)
        current = Counter((label.query_id, label.labeler) for label in log)
        doubled = sum(count > 1 for count in times.values()) + sum(count > 1 for count in current.values())
        for person in people:
            person.close()
        return len(acknowledged), len(acknowledged - set(times)), doubled


def test_no_label_is_lost_or_doubled_while_server_and_redis_are_killed(tmp_path: Path) -> None:
    acknowledged, lost, doubled = _survive(tmp_path, 8, 1.5)
    assert acknowledged > 20
    assert (lost, doubled) == (0, 0)


@pytest.mark.slow
def test_eighty_faults_lose_and_double_nothing(tmp_path: Path) -> None:
    acknowledged, lost, doubled = _survive(tmp_path, 80, 1.5)
    print(f"{acknowledged} labels acknowledged over 80 faults, {lost} lost, {doubled} doubled")
    assert acknowledged > 200
    assert (lost, doubled) == (0, 0)
