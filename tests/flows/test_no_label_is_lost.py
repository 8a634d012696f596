"""People label over HTTP while what they talk to is killed, stopped, and cut off. An observer outside of every harmed
process holds what was acknowledged against what the log says afterwards. `chaos.py` does the same to a whole run."""

from __future__ import annotations

import random
import signal
import time
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from cluster.label_server import LabelServer, LabelServerConfig, Served
from cluster.redis_server import PrivateRedis
from reward_service.client import connect
from reward_service.database import ComparisonDatabase
from tests.flows.chaos import MATRIX, send, survive, table
from tests.flows.crowd import Crowd
from tests.labeling.faulty_proxy import FaultyProxy
from tests.labeling.pool import TASK, offer_pairs
from tests.waiting import wait_until

pytestmark = pytest.mark.redis

SIGNALS = (signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM)


def _harm_redis(private: PrivateRedis, number: signal.Signals) -> None:
    assert private.process_id is not None
    send(psutil.Process(private.process_id), number, 0.5)
    if number != signal.SIGSTOP:
        wait_until(lambda: private.process_id is None)
    private.start()


def _harm_server(server: LabelServer, number: signal.Signals) -> None:
    wait_until(lambda: server.process_id is not None)  # the last harm's successor may still be on its way
    assert server.process_id is not None
    send(psutil.Process(server.process_id), number, 0.5)


def test_no_label_is_lost_or_doubled_while_server_and_redis_are_harmed(tmp_path: Path) -> None:
    with ExitStack() as stack:
        private = PrivateRedis(tmp_path)
        stack.enter_context(private)
        with connect(private.url) as client:
            offer_pairs(ComparisonDatabase(client, "run"), 700)
        proxy = stack.enter_context(FaultyProxy(tmp_path / "proxy.sock", Path(private.url.removeprefix("unix://"))))
        server = LabelServer(Served(TASK, proxy.url, "run"), tmp_path, LabelServerConfig(port=0))
        crowd = stack.enter_context(Crowd(4, stack.enter_context(server), private.url, "run"))
        wait_until(lambda: crowd.acknowledged > 4)
        dice = random.Random(1)
        for number in SIGNALS:
            proxy.drop_next()
            for harm in (lambda: _harm_redis(private, number), lambda: _harm_server(server, number)):  # noqa: B023
                time.sleep(dice.uniform(0.4, 1.2))
                harm()
        proxy.delay(0.5)
        time.sleep(1.0)
        proxy.delay(0.0)
        wait_until(lambda: proxy.reset() > 0)
        before = crowd.acknowledged
        wait_until(lambda: crowd.acknowledged >= before + 8)
        crowd.rest()
        _harm_redis(private, signal.SIGKILL)
        assert proxy.dropped > 0
        assert crowd.acknowledged > 20
        assert crowd.audit() == (0, 0)


@pytest.mark.slow
@pytest.mark.ray
def test_a_run_survives_every_fault_of_the_matrix(tmp_path: Path) -> None:
    """What depends on the speed of the machine is for `make chaos`; here everything comes back, and nothing is lost."""
    outcomes = survive(tmp_path, MATRIX, lambda _: None)
    print(table(outcomes))
    assert [each for each in outcomes if each.lost or each.doubled or not each.came_back] == []
