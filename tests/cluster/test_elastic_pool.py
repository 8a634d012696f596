"""ElasticPool on a real Ray of several nodes, with workers that need neither environments nor torch."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any, cast

import numpy as np
import pytest
import ray
from ray.cluster_utils import Cluster

from actors.weights import PolicyWeights
from cluster.elastic_pool import SILENT_S, ElasticPool
from cluster.supervise import ComponentFailure, Life, SupervisionConfig
from tests.cluster.fake_hosts import FakeRolloutHost, several_nodes
from tests.waiting import wait_until

pytestmark = [
    pytest.mark.ray,
    pytest.mark.timeout(240),
    pytest.mark.filterwarnings("ignore"),  # Ray's own
]
JOINS_WITHIN_S = 60.0  # alone on a machine half of that would do
UPDATE_S = 0.5  # of a learner that has much to do between two rollouts, however slow this machine is
STUCK_S = 20.0
STARTED: list[Any] = []
"""Processes of the test that runs."""


@pytest.fixture(scope="module")
def head() -> Iterator[Cluster]:
    with several_nodes(1) as cluster:
        ray.init(address=cluster.address, log_to_driver=False)
        yield cluster
        ray.shutdown()


@pytest.fixture
def cluster(head: Cluster) -> Iterator[Cluster]:
    """Its head has one core; what a test adds is taken away after it."""
    yield head
    while STARTED:
        ray.kill(STARTED.pop())
    for node in list(head.worker_nodes):
        head.remove_node(node)
    # both: a removed node's core may be counted for a while, and a killed worker's not yet
    wait_until(lambda: sum(node["Alive"] for node in ray.nodes()) == 1 and free_cores() == 1, 20)


def free_cores() -> int:
    return int(ray.available_resources().get("CPU", 0))


def make_pool(
    told: list[str],
    stuck_s: float = STUCK_S,
    breaks: Callable[[int], bool] = lambda _: False,
    step_s: float = 0.0,
    rebuilding_s: float = 0.0,
) -> ElasticPool:
    remote: Any = ray.remote
    host = remote(num_cpus=1, concurrency_groups={"pulse": 1}, scheduling_strategy="SPREAD")(FakeRolloutHost)

    def start(index: int, generation: int) -> Any:
        STARTED.append(host.remote(index, generation, breaks(index), step_s, rebuilding_s))
        return STARTED[-1]

    def tell(component: str, text: str) -> None:
        told.append(text)

    return ElasticPool(
        start,
        lambda name: Life(name, SupervisionConfig(stuck_s, give_up_after=2), tell),
        free_cores,
        lambda workers: 120 // workers,
        tell,
    )


def rounds_until(
    pool: ElasticPool,
    holds: Callable[[list[Any]], bool],
    within_s: float = JOINS_WITHIN_S,
    update_s: float = 0.05,
) -> list[Any]:
    """Updates of `update_s` each, one after the other, until one is as wanted; what was collected in that."""
    deadline = time.monotonic() + within_s
    version = 0
    while time.monotonic() < deadline:
        version += 1
        pool.submit(PolicyWeights(version, np.zeros(1, np.float32)))
        collected: Any = pool.gather()
        assert collected
        assert {version} == {each[2] for each in collected}, "a rollout of old weights"
        if holds(collected):
            return collected
        time.sleep(update_s)
    pytest.fail(f"not within {within_s} s; the last had {len(collected)} rollouts")


def test_nodes_that_join_are_used_and_those_that_leave_are_not_missed(cluster: Cluster) -> None:
    told: list[str] = []
    pool = make_pool(told)
    alone = rounds_until(pool, lambda collected: len(collected) == 1)
    assert alone[0][3] == 120, "a lone worker does a whole update's steps"
    node = cluster.add_node(num_cpus=2)
    three = rounds_until(pool, lambda collected: len(collected) == 3, update_s=UPDATE_S)
    assert [each[3] for each in three] == [40, 40, 40], "an update keeps its size"
    assert len({each[1] for each in three}) == 2
    assert sorted(each[0] for each in three) == [0, 1, 2]
    cluster.remove_node(node, allow_graceful=False)
    begin = time.monotonic()
    rounds_until(pool, lambda collected: len(collected) == 1)
    assert time.monotonic() - begin < 10, "the others waited for those that left"
    cluster.add_node(num_cpus=2)
    rounds_until(pool, lambda collected: len(collected) == 3)
    assert pool.size == 3
    assert pool.replaced == 2, "who came back is counted as one that was replaced"
    assert any("has left, and is replaced where there is room" in text for text in told)


def test_a_silent_worker_is_not_waited_for_and_comes_back(cluster: Cluster) -> None:
    cluster.add_node(num_cpus=1)
    told: list[str] = []
    pool = make_pool(told)
    both = rounds_until(pool, lambda collected: len(collected) == 2)
    process_id = both[1][4]
    os.kill(process_id, signal.SIGSTOP)
    try:
        begin = time.monotonic()
        (alone,) = rounds_until(pool, lambda collected: len(collected) == 1)
        assert alone[4] != process_id
        assert time.monotonic() - begin < STUCK_S, "the others waited for its end"
        pool.restart(1)  # a checkpoint, of which the silent one hears when it is back
        begin = time.monotonic()
        rounds_until(pool, lambda collected: len(collected) == 1)
        assert time.monotonic() - begin < STUCK_S, "the others waited for it to build"
    finally:
        os.kill(process_id, signal.SIGCONT)
    again = rounds_until(pool, lambda collected: len(collected) == 2)
    assert process_id in {each[4] for each in again}
    assert pool.replaced == 0


def test_workers_that_build_their_environments_anew_are_waited_for(cluster: Cluster) -> None:
    """After a checkpoint, at which they have a rollout in hand."""
    told: list[str] = []
    pool = make_pool(told, step_s=1.0, rebuilding_s=SILENT_S + 2.0)
    rounds_until(pool, lambda collected: len(collected) == 1)
    pool.submit(PolicyWeights(98, np.zeros(1, np.float32)))
    pool.restart(1)
    pool.submit(PolicyWeights(99, np.zeros(1, np.float32)))
    collected: Any = pool.gather()
    assert [each[2] for each in collected] == [99]
    assert not any("no sign of life" in text for text in told)


@pytest.mark.slow
def test_a_worker_that_stays_silent_is_ended_and_another_takes_its_place(cluster: Cluster) -> None:
    cluster.add_node(num_cpus=1)
    told: list[str] = []
    pool = make_pool(told, stuck_s=4.0)
    both = rounds_until(pool, lambda collected: len(collected) == 2, update_s=UPDATE_S)
    process_id = both[1][4]
    os.kill(process_id, signal.SIGSTOP)
    again = rounds_until(pool, lambda collected: len(collected) == 2 and process_id not in {e[4] for e in collected})
    assert {each[0] for each in again} == {0, 1}
    assert pool.replaced == 1


def test_what_a_rollout_worker_breaks_at_is_told_with_its_traceback(cluster: Cluster) -> None:
    pool, no_weights = make_pool([]), cast(PolicyWeights, None)
    pool.submit(no_weights)
    with pytest.raises(AttributeError) as raised:
        pool.gather()
    assert "in step" in str(raised.value.__cause__)


def test_the_last_worker_is_waited_for_until_another_is_there(cluster: Cluster) -> None:
    told: list[str] = []
    pool = make_pool(told)
    alone = rounds_until(pool, lambda collected: len(collected) == 1)
    pool.submit(PolicyWeights(99, np.zeros(1, np.float32)))
    pool.gather()
    os.kill(alone[0][4], signal.SIGKILL)
    pool.submit(PolicyWeights(100, np.zeros(1, np.float32)))
    collected: Any = pool.gather()
    assert [each[2] for each in collected] == [100]
    assert collected[0][4] != alone[0][4]


def test_a_worker_that_cannot_be_built_ends_the_run_if_it_is_the_first_and_only_itself_later(cluster: Cluster) -> None:
    with pytest.raises(ComponentFailure, match=r"rollout worker 0 could not start.*no simulator here"):
        rounds_until(make_pool([], breaks=lambda index: index == 0), lambda _: False)
    told: list[str] = []
    pool = make_pool(told, breaks=lambda index: index == 1)
    rounds_until(pool, lambda collected: len(collected) == 1)
    cluster.add_node(num_cpus=1)
    broken = "has left, and is replaced where there is room"
    rounds_until(pool, lambda _: sum("no simulator here" in text and broken in text for text in told) > 1, 120)
    assert pool.size == 1, "and it is tried again and again, which ends no run"


def test_one_more_than_fits_is_asked_for_while_the_learner_waits_for_rollouts(cluster: Cluster) -> None:
    busy = make_pool([])
    begin = time.monotonic()
    rounds_until(busy, lambda collected: len(collected) == 1 and time.monotonic() - begin > 6, update_s=UPDATE_S)
    assert len(STARTED) == 1, "who has enough asks for nothing"
    ray.kill(STARTED.pop())
    pool = make_pool([], step_s=0.4)
    rounds_until(pool, lambda _: len(STARTED) == 2)
    begin = time.monotonic()
    rounds_until(pool, lambda _: time.monotonic() - begin > 5)
    assert len(STARTED) == 2, "one, not ever more"
    assert pool.size == 1
