"""doctor --address: whether a cluster can carry a run, asked of every node of it, from one of them.

Each node is asked by a task of its own. A node that cannot answer is told with its reason; the others still are.
"""

from __future__ import annotations

import hashlib
import logging
import platform
import socket
import time
from collections import Counter
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import ray
import redis
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from cluster.doctor import Check
from cluster.errors import first_line
from reward_service.client import DatabaseError, check_writable, connect

ANSWER_TIMEOUT_S = 60.0
MAX_SKEW_S = 1.0
_PACKAGES = ("actors", "cluster", "labeling", "learners", "reward_service")


@dataclass(frozen=True)
class Answer:
    """What a node says of itself. ahead_s: its clock against ours, of which error_s may be the way there and back.
    redis: why it cannot use the run's Redis, "" where it can or was not asked. is_here: it is the node that asks."""

    node: str
    versions: dict[str, str]
    ahead_s: float
    error_s: float
    redis: str
    is_here: bool


def examine_cluster(address: str, workers: int, gpus: int, redis_url: str) -> list[Check]:
    """All checks. `workers`, `gpus`: what a run needs; 0 asks for none. `redis_url`: "" for none."""
    try:
        _knock(address)
        ray.init(address=address, log_to_driver=False, namespace="twoclips", logging_level=logging.ERROR)
    except (OSError, RuntimeError, ValueError, RayError) as error:
        remedy = "run this on a node of the cluster, with RAY_AUTH_MODE=token and its token in ~/.ray/auth_token"
        return [Check("cluster", "fail", f"{address}: {first_line(error)}", remedy)]
    try:
        nodes = [node for node in ray.nodes() if node["Alive"]]
        answers, silent = _ask(nodes, redis_url)
        has = ray.cluster_resources()
    finally:
        ray.shutdown()
    checks = [Check("nodes", "ok", f"{len(nodes)} alive"), *silent, same_versions(answers), clocks(answers)]
    checks += [enough("CPU", has.get("CPU", 0), workers), enough("GPU", has.get("GPU", 0), gpus)]
    return checks + ([keeps_labels(redis_url), reached(answers)] if redis_url else [])


def _knock(address: str) -> None:
    """Ray itself tries for minutes where nobody answers. Raises OSError at once."""
    host, _, port = address.rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=5.0).close()


def _ask(nodes: list[dict[str, Any]], redis_url: str) -> tuple[list[Answer], list[Check]]:
    """Answers of the nodes, and a failed check for each that gives none within ANSWER_TIMEOUT_S."""
    task = ray.remote(num_cpus=0, max_retries=0)(probe)
    here = ray.get_runtime_context().get_node_id()
    answers: list[Answer] = []
    silent: list[Check] = []
    for node in nodes:
        there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        name = node["NodeManagerAddress"]
        try:
            # The first call waits for a process to start; the second tells the time.
            ray.get(task.options(scheduling_strategy=there).remote(""), timeout=ANSWER_TIMEOUT_S)
            begin_s = time.time()
            versions, at_s, reason = ray.get(
                task.options(scheduling_strategy=there).remote(redis_url), timeout=ANSWER_TIMEOUT_S
            )
            error_s = (time.time() - begin_s) / 2
            answers.append(Answer(name, versions, at_s - begin_s - error_s, error_s, reason, node["NodeID"] == here))
        except RayError as error:  # GetTimeoutError is one of them
            reason = str(error).strip().splitlines()[-1]
            silent.append(
                Check("node", "fail", f"{name}: {reason}", "install this twoclips there, then `ray up` again")
            )
    return answers, silent


def probe(redis_url: str) -> tuple[dict[str, str], float, str]:
    """Runs on a node: its versions, its time, and why it cannot use Redis."""
    at_s = time.time()
    reason = ""
    if redis_url:
        try:
            check_writable(connect(redis_url))
        except (DatabaseError, redis.RedisError) as error:
            reason = str(error)
    return versions(), at_s, reason


def versions() -> dict[str, str]:
    """Of what must be the same everywhere. The code's own is a digest: a tree may change and keep its number."""
    digest = hashlib.sha256()
    root = Path(__file__).parents[1]
    for path in sorted(file for package in _PACKAGES for file in (root / package).rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + path.read_bytes())
    return {
        "twoclips": f"{version('twoclips')} ({digest.hexdigest()[:8]})",
        "ray": version("ray"),
        "torch": version("torch"),
        "python": platform.python_version(),
    }


def same_versions(answers: list[Answer]) -> Check:
    """Ours are the measure: who starts the run is here."""
    ours = versions()
    others = [
        f"{answer.node} has {name} {answer.versions.get(name, 'not at all')}, here it is {ours[name]}"
        for answer in answers
        for name in ours
        if answer.versions.get(name) != ours[name]
    ]
    if others:
        return Check("versions", "fail", "; ".join(others), "bring the same tree and packages to every node: `ray up`")
    return Check("versions", "ok", ", ".join(f"{name} {value}" for name, value in ours.items()) + " on every node")


def clocks(answers: list[Answer]) -> Check:
    """Leases and the log have Redis's time; logs and speeds have each node's, and must be comparable."""
    wrong = [answer for answer in answers if abs(answer.ahead_s) - answer.error_s > MAX_SKEW_S]
    if wrong:
        detail = ", ".join(f"{answer.node} by {answer.ahead_s:+.1f} s" for answer in wrong)
        return Check("clocks", "warn", f"differ: {detail}", "run an NTP client on every node")
    worst_s = max((abs(answer.ahead_s) for answer in answers), default=0.0)
    return Check("clocks", "ok", f"within {worst_s:.2f} s")


def enough(kind: str, has: float, needed: int) -> Check:
    """CPUs for the rollout workers, GPUs for learner and reward service: they share one."""
    detail = f"{has:g} in the cluster, {needed} needed"
    if has >= needed:
        return Check(f"{kind}s", "ok", detail)
    remedy = "add nodes" + (f", or lower --workers to {int(has)}" if kind == "CPU" else ", or train on the CPU")
    return Check(f"{kind}s", "fail", f"{detail}: {needed - has:g} missing", remedy)


def keeps_labels(redis_url: str) -> Check:
    """Whether the run's Redis would keep labels, as far as we may ask it."""
    client = connect(redis_url)
    try:
        warnings = check_writable(client)
    except DatabaseError as error:
        detail, _, remedy = str(error).partition(": ")
        return Check("redis", "fail", detail, remedy)
    finally:
        client.close()
    if warnings:
        detail, _, remedy = warnings[0].partition(": ")
        return Check("redis", "warn", detail, remedy)
    return Check("redis", "ok", "append-only file on, evicts nothing")


def reached(answers: list[Answer]) -> Check:
    """The driver, the labeling beside it and the reward service use Redis; rollout workers, anywhere, do not."""
    without = [answer for answer in answers if answer.redis]
    if not without:
        return Check("redis reached", "ok", f"from {len(answers)} nodes")
    reason = Counter(answer.redis for answer in without).most_common(1)[0][0]
    detail = f"not from {', '.join(answer.node for answer in without)}: {reason}"
    if any(answer.is_here for answer in without):
        return Check("redis reached", "fail", detail, "open its port to the node on which the run is started")
    remedy = "rollout workers need none; open its port to a node that loop.reward_node names"
    return Check("redis reached", "warn", detail, remedy)
