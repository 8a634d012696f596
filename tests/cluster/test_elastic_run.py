"""A whole run on a Ray of several nodes: it takes what the cluster has, and goes on with what is left of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.cluster_utils import Cluster

from actors.tasks import make_task
from cluster.components import RunSpec
from cluster.launch import ClusterError, beside_driver, topology
from cluster.run_folder import RunFolder
from cluster.run_status import read_status
from tests.cluster.fake_hosts import Somewhere, several_nodes
from tests.cluster.runs import SMALL, small_config
from tests.local_run import UNHURRIED, LocalRun
from tests.waiting import wait_until

pytestmark = [
    pytest.mark.redis,
    pytest.mark.ray,
    pytest.mark.timeout(240),
    pytest.mark.filterwarnings("ignore"),  # Ray's own
]
QUICK = ("rollout.num_envs", "rollout.steps", "ppo.minibatch", "loop.warmup_steps", "loop.pretrain_steps")


@pytest.fixture(scope="module")
def head() -> Iterator[Cluster]:
    with several_nodes(2) as cluster:
        yield cluster


@pytest.fixture
def cluster(head: Cluster) -> Iterator[Cluster]:
    """Its head has two cores; what a test adds is taken away after it."""
    yield head
    ray.shutdown()
    for node in list(head.worker_nodes):
        head.remove_node(node)


def run_config(cluster: Cluster, redis_url: str, **settings: Any) -> Any:
    return small_config(in_process=False, address=cluster.address, redis=redis_url, **settings)


def test_a_run_uses_a_node_that_joins_and_goes_on_when_it_leaves(
    cluster: Cluster, redis_url: str, tmp_path: Path
) -> None:
    run = LocalRun(tmp_path / "run")
    settings = (f"--set={name}={value}" for name, value in SMALL.items() if name in QUICK)
    where = ("--address", cluster.address, "--redis", redis_url, "--workers", "auto")
    try:
        run.start(UNHURRIED, "--labels", "24", "--steps", "2500000", *where, *settings)
        wait_until(lambda: run.said("workers") == 1)  # one core of the head is the learner's
        node = cluster.add_node(num_cpus=1)
        assert wait_until(lambda: run.said("workers") == 2) < 60  # alone on a machine half of that would do
        steps = run.said("agent_steps")
        cluster.remove_node(node, allow_graceful=False)
        assert wait_until(lambda: run.said("workers") == 1) < 10
        wait_until(lambda: run.said("agent_steps") >= steps + 3 * 256, what="three updates, of which two may be old")
        wait_until(lambda: len(workers_shown(run.folder)) == 1, 30)  # status.json is a second behind
    finally:
        run.end()
    assert run.said("policy_lag_max") == 1
    said = run.printed()
    assert "2 rollout workers are at work" in said
    assert "has left, and is replaced where there is room" in said
    assert f"go on with `twoclips train {UNHURRIED}" in said


def workers_shown(folder: RunFolder) -> list[str]:
    components = read_status(folder)["components"]
    return [part["name"] for part in components if "worker" in part["name"]]


def test_what_claims_no_core_is_beside_the_driver_all_the_same(cluster: Cluster) -> None:
    cluster.add_node(num_cpus=2)
    ray.init(address=cluster.address, log_to_driver=False)
    remote: Any = ray.remote
    actors = [remote(num_cpus=0, scheduling_strategy=beside_driver())(Somewhere).remote() for _ in range(5)]
    nodes: Any = ray.get([actor.node.remote() for actor in actors])
    assert set(nodes) == {ray.get_runtime_context().get_node_id()}


def test_a_run_says_how_many_cores_it_waits_for_and_which_node_it_lacks(cluster: Cluster, redis_url: str) -> None:
    ray.init(address=cluster.address, log_to_driver=False)
    wait_until(lambda: ray.available_resources().get("CPU") == 2)  # what was taken away before is forgotten
    told: list[str] = []
    config = run_config(cluster, redis_url, workers=3)
    topology(
        RunSpec(config, make_task("pendulum"), redis_url, "test"),
        lambda component, text: told.append(f"{component}: {text}"),
    )
    assert told == [
        "rollout workers: the cluster has 2 free cores for 3 rollout workers: the run waits for 1 more; add "
        "nodes, lower --workers, or use --workers auto"
    ]
    config = run_config(cluster, redis_url, workers=1, **{"loop.reward_node": "reward"})
    with pytest.raises(ClusterError, match="no node of the cluster offers the resource 'reward'"):
        topology(
            RunSpec(config, make_task("pendulum"), redis_url, "test"),
            lambda component, text: told.append(f"{component}: {text}"),
        )
