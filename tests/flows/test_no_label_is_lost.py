"""People label over HTTP while what they talk to is killed and replies are swallowed. An observer outside of every
killed process holds what was acknowledged against what the log says afterwards."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import psutil
import pytest
import redis

from cluster.label import Serving
from cluster.label_server import LabelServer, LabelServerConfig, Served
from cluster.redis_server import PrivateRedis
from cluster.simulate import SimulatedPerson
from reward_service.client import connect
from reward_service.comparisons import Label
from reward_service.database import START, ComparisonDatabase
from reward_service.snapshot import RewardSnapshot
from tests.flows.human_run import HumanRun, human_run, wait_until
from tests.labeling.dropping_proxy import DroppingProxy
from tests.labeling.pool import TASK, offer_pairs

pytestmark = pytest.mark.redis

PEOPLE = 4
Fault = Callable[[], bool]
"""Does its harm; False where there was nothing to harm just now."""


def _kill_redis(private: PrivateRedis) -> bool:
    process = private.process_id
    assert process is not None
    os.kill(process, signal.SIGKILL)
    private.start()
    return True


def _kill_server(server: LabelServer) -> bool:
    process = server.process_id
    if process is not None:  # else the last kill's successor is still on its way
        os.kill(process, signal.SIGKILL)
    return process is not None


def _swallow(proxy: DroppingProxy) -> bool:
    proxy.drop_next()
    return True


def _kill_first(find: Callable[[], list[psutil.Process]], count: int) -> bool:
    """Kills the first of `count` processes, once they are all there."""
    wait_until(lambda: len(find()) == count)
    os.kill(find()[0].pid, signal.SIGKILL)
    return True


def _whole_log(private: PrivateRedis, run_id: str) -> list[Label]:
    with connect(private.url) as client:
        database, labels, cursor = ComparisonDatabase(client, run_id), [], START
        while True:
            more, cursor = database.labels_since(cursor)
            if not more:
                return labels
            labels += more


@dataclass
class Survived:
    """What became of the labels; `faults` by kind, those that found something to harm."""

    acknowledged: int = 0
    lost: int = 0
    doubled: int = 0
    faults: dict[str, int] = field(default_factory=dict)


def _label_for_ever(person: SimulatedPerson, stop: threading.Event) -> None:
    while not stop.is_set():
        try:
            person.label(stop)
            stop.wait(0.4)  # so that there is always something left to label
        except (httpx2.HTTPError, redis.RedisError):
            stop.wait(0.2)


def _survive(
    private: PrivateRedis, run_id: str, address: str, faults: list[tuple[str, Fault]], settled: Callable[[int], bool]
) -> Survived:
    """People label while one fault comes after another. Afterwards labeling goes on, and `settled` comes to hold of the
    labels that were there after the last."""
    dice, survived = random.Random(1), Survived()
    with connect(private.url) as client:
        database = ComparisonDatabase(client, run_id)
        links = Serving(address, private.url, run_id, True, "").invites(PEOPLE)
        people = [
            SimulatedPerson("perfect", address, link.rpartition("=")[2], database, index)
            for index, link in enumerate(links)
        ]
        stop = threading.Event()
        threads = [threading.Thread(target=_label_for_ever, args=(person, stop)) for person in people]
        for thread in threads:
            thread.start()
        try:
            for kind, harm in faults:
                time.sleep(1.5 * dice.uniform(0.5, 1.5))
                survived.faults[kind] = survived.faults.get(kind, 0) + harm()
            before = sum(len(person.acknowledged) for person in people)
            wait_until(lambda: sum(len(person.acknowledged) for person in people) >= before + 2 * PEOPLE)
            counted = database.num_labels()
            wait_until(lambda: settled(counted))
        finally:
            stop.set()
            for thread in threads:
                thread.join(60)
        _kill_redis(private)
        acknowledged = {label_id for person in people for label_id in person.acknowledged}
        log = _whole_log(private, run_id)
        times = Counter(label.label_id for label in log)
        current = Counter((label.query_id, label.labeler) for label in log)
        for person in people:
            person.close()
    survived.acknowledged, survived.lost = len(acknowledged), len(acknowledged - set(times))
    survived.doubled = sum(count > 1 for count in times.values()) + sum(count > 1 for count in current.values())
    return survived


def test_no_label_is_lost_or_doubled_while_server_and_redis_are_killed(tmp_path: Path) -> None:
    with ExitStack() as stack:
        private = PrivateRedis(tmp_path)
        stack.enter_context(private)
        with connect(private.url) as client:
            offer_pairs(ComparisonDatabase(client, "run"), 700)
        proxy = stack.enter_context(DroppingProxy(tmp_path / "proxy.sock", Path(private.url.removeprefix("unix://"))))
        server = LabelServer(Served(TASK, proxy.url, "run"), tmp_path, LabelServerConfig(port=0))
        address = stack.enter_context(server)
        kinds: list[tuple[str, Fault]] = [
            ("redis", lambda: _kill_redis(private)),
            ("server", lambda: _kill_server(server)),
            *[("swallowed", lambda: _swallow(proxy))] * 2,
        ]
        survived = _survive(private, "run", address, kinds * 2, lambda _: True)
        assert proxy.dropped > 0
    assert survived.acknowledged > 20
    assert (survived.lost, survived.doubled) == (0, 0)


@pytest.mark.slow
@pytest.mark.ray
def test_eighty_faults_of_a_run_at_work_lose_and_double_nothing(tmp_path: Path) -> None:
    """All but driver and rollout worker are killed; afterwards the reward model is fitted to all that was labelled."""
    with ExitStack() as stack:
        private = PrivateRedis(tmp_path / "own")
        stack.enter_context(private)
        proxy = stack.enter_context(DroppingProxy(tmp_path / "proxy.sock", Path(private.url.removeprefix("unix://"))))
        few = ["--labels", "20000", "--steps", "20000000", "--set", "query.initial_fraction=0.002"]
        small = ["--set", "query.max_open=200", "--set", "loop.warmup_steps=4096", "--set", "rollout.steps=256"]
        run = stack.enter_context(human_run(tmp_path / "run", proxy.url, *few, *small))
        run_id = run.folder.run_id
        survived = _survive(
            private,
            run_id,
            run.address,
            _eighty(private, run, proxy),
            lambda labels: _has_caught_up(private, run_id, labels),
        )
        restarts = run.folder.read_metrics()[-1]["services_restarted"]
    kills = sum(number for kind, number in survived.faults.items() if kind != "swallowed")
    print(survived, f"{kills} kills, {restarts:.0f} services restarted, {proxy.dropped} replies swallowed")
    assert kills >= 60
    assert survived.acknowledged > 200
    assert (survived.lost, survived.doubled) == (0, 0)
    assert restarts >= survived.faults["service"]


def _eighty(private: PrivateRedis, run: HumanRun, proxy: DroppingProxy) -> list[tuple[str, Fault]]:
    """Eight kills of each service: a run gives up after twenty of both."""
    harm: dict[str, Fault] = {
        "redis": lambda: _kill_redis(private),
        "server": lambda: _kill_first(run.label_servers, 1),
        "service": lambda: _kill_first(run.services, 2),
        "swallowed": lambda: _swallow(proxy),
    }
    order = ["redis", "server", "service", "swallowed", "redis", "server", "redis", "server", "swallowed", "service"]
    return [(kind, harm[kind]) for kind in order * 8]


def _has_caught_up(private: PrivateRedis, run_id: str, labels: int) -> bool:
    """Whether the newest reward model was fitted to so many labels."""
    with connect(private.url) as client:
        newest = ComparisonDatabase(client, run_id).get_snapshot()
    return newest is not None and RewardSnapshot.from_bytes(newest[1]).num_labels >= labels
