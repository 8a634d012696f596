"""Comparison writes: answers a second from several client processes at once, through the queue that people use, with
fsync always; and beside it bare SETs by the same clients to the same server, which is what its disk allows."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from actors.trajectory import Clip, Segment
from cluster.redis_server import PrivateRedis
from labeling.queue import QueryQueue
from reward_service.comparisons import Answer, Query
from reward_service.database import ComparisonDatabase, connect

CLIENTS = 8
WRITES = 80  # of each client in each round
ROUNDS = 3
_RUN = "bench"


def measure_writes() -> tuple[float, float]:
    """(answers, bare SETs) per second: medians of rounds that take turns. In the present folder, whose disk counts."""
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as folder, PrivateRedis(Path(folder)) as url:
        client = connect(url)
        database = ComparisonDatabase(client, _RUN)
        database.clips.put([some_clip(0), some_clip(1)])
        count = CLIENTS * WRITES * ROUNDS
        database.offer([Query(f"q{index}", "clip0", "clip1", 0.0, 0, 0.0) for index in range(count)])
        command = [sys.executable, "-P", "-m", "cluster.bench_writes", url]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        clients = [subprocess.Popen([*command, str(index)], **pipes) for index in range(CLIENTS)]
        try:
            for each in clients:
                _said(each)
            rates = [(_round(clients, "answer"), _round(clients, "set")) for _ in range(ROUNDS)]
        finally:
            for each in clients:
                each.kill()
                each.communicate()
        assert database.num_labels() == count
        client.close()
    return median(rate for rate, _ in rates), median(rate for _, rate in rates)


def _round(clients: list[subprocess.Popen[str]], kind: str) -> float:
    for each in clients:
        assert each.stdin is not None
        each.stdin.write(kind + "\n")
        each.stdin.flush()
    spans = [tuple(map(float, _said(each).split())) for each in clients]
    return CLIENTS * WRITES / (max(end for _, end in spans) - min(begin for begin, _ in spans))


def _said(client: subprocess.Popen[str]) -> str:
    assert client.stdout is not None
    line = client.stdout.readline()
    if not line:
        raise RuntimeError("a client of the write benchmark ended before its time")
    return line


def client_main(url: str, name: str) -> None:
    """One client process: holds its leases, then does a round for each line that it is sent."""
    client = connect(url)
    queue = QueryQueue(client, _RUN, lease_s=600.0)
    leases = [queue.claim(f"client{name}") for _ in range(WRITES * ROUNDS)]
    print("ready", flush=True)
    for line in sys.stdin:
        kind = line.strip()
        begin = time.monotonic()  # the same clock in all processes
        for index in range(WRITES):
            if kind == "set":
                client.set(f"bare:{name}:{index}", b"x" * 100)
            else:
                lease = leases.pop()
                assert lease is not None
                queue.complete(lease, Answer.LEFT, lease.query_id + "-label")
        print(begin, time.monotonic(), flush=True)


def some_clip(number: int) -> Clip:
    """As large as one of half-cheetah."""
    random = np.random.default_rng(number)
    observations, actions = (random.normal(size=(30, width)).astype(np.float32) for width in (17, 6))
    return Clip(f"clip{number}", Segment(observations, actions), np.zeros((30, 18), np.float32), 0.0, 0)


if __name__ == "__main__":
    client_main(*sys.argv[1:])
