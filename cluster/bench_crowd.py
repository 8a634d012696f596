"""A crowd over HTTP: many people who answer every few seconds, and one or more labeling servers beside one Redis. What
an answer, with the claim of the next pair, costs each process is measured in processor time, which other work on the
machine hardly changes; from it follows how many servers a crowd of any size needs.
"""

from __future__ import annotations

import asyncio
import json
import random
import secrets
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles

import psutil

from cluster.bench_answers import Person
from cluster.bench_writes import some_clip
from cluster.label_server import LabelServer, LabelServerConfig, Served
from cluster.machine import processor_s
from cluster.redis_server import PrivateRedis
from labeling.labelers import LabelerPool
from labeling.sessions import cookie_name
from reward_service.comparisons import Query
from reward_service.database import ComparisonDatabase, connect

EVERY_S = 5.0
Used = tuple[float, float, float, float]
"""Processor seconds so far of the servers, of Redis, of the people; and the time."""
_RUN, _TASK = "bench", "half-cheetah"


@dataclass(frozen=True)
class Crowd:
    """people, servers: how many. per_second: answers acknowledged. acknowledged_ms: median and 95th percentile.
    server_us, redis_us, people_us: processor time of all servers, of Redis and of the people for each answer, with the
    claim that came before it."""

    people: int
    servers: int
    per_second: float
    acknowledged_ms: tuple[float, float]
    server_us: float
    redis_us: float
    people_us: float

    def servers_for(self, per_second: float) -> float:
        """Server processes that this many answers a second keep busy."""
        return per_second * self.server_us / 1e6


def measure_crowd(people: int, servers: int, lasting_s: float) -> Crowd:
    """In the present folder, whose disk counts. Raises RuntimeError where an answer was lost."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-")))
        private = PrivateRedis(folder)
        url = stack.enter_context(private)
        client = connect(url)
        stack.callback(client.close)
        database, pool = ComparisonDatabase(client, _RUN), LabelerPool(client, _RUN)
        database.clips.put([some_clip(0), some_clip(1)])
        wanted = int(people * (2 + lasting_s / EVERY_S))
        database.offer([Query(f"q{index}", "clip0", "clip1", 0.0, 0, 0.0) for index in range(wanted)])
        cookies = [f"{cookie_name(_RUN)}={pool.join(pool.invite(f'person{index}'))}" for index in range(people)]
        served = Served(_TASK, url, _RUN)
        started = [LabelServer(served, folder / str(index), LabelServerConfig(port=0)) for index in range(servers)]
        ports = [int(stack.enter_context(server).rstrip("/").rpartition(":")[2]) for server in started]
        crowd = [Person(ports[index % servers], cookie) for index, cookie in enumerate(cookies)]
        processes = [psutil.Process(server.process_id) for server in started]
        redis_process = psutil.Process(int(client.info("server")["process_id"]))

        def used_s() -> Used:
            return processor_s(*processes), processor_s(redis_process), time.process_time(), time.monotonic()

        taken_s, begin, end = asyncio.run(_label(crowd, lasting_s, used_s))
        rate = len(taken_s) / (end[3] - begin[3])
        if database.num_labels() != len(taken_s):
            raise RuntimeError(f"{len(taken_s)} answers were acknowledged, {database.num_labels()} are there")
    servers_us, redis_us, people_us = (1e6 * (b - a) / len(taken_s) for a, b in zip(begin[:3], end[:3], strict=True))
    cuts_ms = [1e3 * cut for cut in quantiles(taken_s, n=20)]
    return Crowd(people, servers, rate, (cuts_ms[9], cuts_ms[18]), servers_us, redis_us, people_us)


async def _label(crowd: list[Person], lasting_s: float, used_s: Callable[[], Used]) -> tuple[list[float], Used, Used]:
    """Seconds until each answer was acknowledged, and processor time when all were there and at the end. People come
    one after another within the time that an answer takes, and each answers until the end; the pace is that of the
    clock, not of the server's replies."""
    taken_s: list[float] = []
    for person in crowd:
        await person.connect()
    await crowd[0].post("/", {})  # the server is there, or this waits for it
    begin = used_s()
    start = time.perf_counter() + 0.5

    async def label(person: Person, phase: float) -> None:
        due = start + phase * EVERY_S
        while due < start + lasting_s:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            _, reply = await person.post("/api/claims", {"token": secrets.token_hex(16)})
            pair = json.loads(reply)["pair"]
            taken_s.append(await person.answer(pair["token"], pair["query"]))
            due += EVERY_S

    dice = random.Random(0)
    await asyncio.gather(*(label(person, dice.random()) for person in crowd))
    end = used_s()
    for person in crowd:
        person.close()
    return taken_s, begin, end
