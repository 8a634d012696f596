"""bench --scale: what one process of each kind can take, from which SCALING.md says how far the system reaches and what
must change there. Some three minutes on an idle machine; other work on it falls on the rates, hardly on processor time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from actors.tasks import Task
from cluster.bench_crowd import Crowd, measure_crowd
from cluster.bench_memory import measure_memory
from cluster.bench_pool import STEP_S, Delivered, measure_pool, weight_bytes

CROWDS = ((50, 1), (1000, 1), (2500, 1), (3000, 2), (4000, 2))
"""People and labeling servers. 2,500 people at an answer every 5 s are 500 a second."""
CROWD_S = 20.0
WORKERS = (1, 2, 4, 8)
LARGE = (1024, 1024)
"""Hidden layers of a policy whose weights are some 9 MB: more than those of Mnih's network."""


def bench_scale(task: Task, say: Callable[[str], None]) -> dict[str, Any]:
    """What `bench --scale --json` prints. `task` is whose clips are measured."""
    begin = time.monotonic()

    def measured(what: str) -> None:
        say(f"measured {what}, {time.monotonic() - begin:.0f} s")

    clip_bytes, comparison_bytes = measure_memory(task)
    measured("memory in Redis")
    crowds: list[Crowd] = []
    for people, servers in CROWDS:
        crowds.append(measure_crowd(people, servers, CROWD_S))
        measured(f"{people:,} people, {servers} servers")
    small = measure_pool(WORKERS, (64, 64))
    measured("rollout workers with a small policy")
    large = measure_pool(WORKERS, LARGE)
    measured("rollout workers with a large policy")
    return {
        "task": task.name,
        "clip_bytes": clip_bytes,
        "comparison_bytes": comparison_bytes,
        "crowds": [asdict(crowd) | {"servers_for_2000_per_second": crowd.servers_for(2000.0)} for crowd in crowds],
        "step_s": STEP_S,
        "pools": {str(weight_bytes((64, 64))): _pool(small), str(weight_bytes(LARGE)): _pool(large)},
        "wall_s": time.monotonic() - begin,
    }


def scale_rows(found: dict[str, Any]) -> list[tuple[str, str]]:
    """The same for people: name and value."""
    rows = [
        ("1,000 clips in Redis", f"{found['clip_bytes'] * 1000 / 2**20:.1f} MiB of {found['task']}"),
        ("1,000,000 comparisons", f"{found['comparison_bytes'] * 1e6 / 2**30:.2f} GiB without their clips"),
    ]
    for crowd in found["crowds"]:
        p50_ms, p95_ms = crowd["acknowledged_ms"]
        rows.append(
            (
                f"{crowd['people']:,} people, {crowd['servers']} servers",
                f"{crowd['per_second']:.0f} answers/s, acknowledged in {p50_ms:.0f} ms (p95 {p95_ms:.0f}); us each: "
                f"servers {crowd['server_us']:.0f}, Redis {crowd['redis_us']:.0f}, people {crowd['people_us']:.0f}",
            )
        )
    for size, pool in found["pools"].items():
        rows += [
            (
                f"{each['workers']} workers, {int(size) / 1e6:.2f} MB",
                f"{each['per_second']:,.0f} transitions/s, {each['share']:.0%} of as many times one; a call without "
                f"acting {1e3 * each['call_s']:.1f} ms",
            )
            for each in pool
        ]
    return rows


def _pool(delivered: list[Delivered]) -> list[dict[str, Any]]:
    one = delivered[0].per_second / delivered[0].workers
    return [asdict(each) | {"share": each.per_second / (each.workers * one)} for each in delivered]
