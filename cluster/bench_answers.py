"""Answers over HTTP: one labeling server, 50 people, fsync always. How many answers a second it stores when all send as
fast as they can, beside requests that it turns away at the door, which is what its HTTP allows; and how long an answer
takes to be acknowledged at the pace of people, who claim their pairs from the same server meanwhile.

Raw HTTP on kept connections: the people share two cores with the server and Redis, so they must cost little. What they
cost is told.
"""

from __future__ import annotations

import asyncio
import json
import random
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import psutil

from cluster.bench_writes import some_clip
from cluster.label_server import LabelServer, LabelServerConfig, Served
from cluster.machine import processor_s
from cluster.redis_server import PrivateRedis
from labeling.labelers import LabelerPool
from labeling.queue import QueryQueue
from labeling.sessions import cookie_name
from reward_service.comparisons import Query
from reward_service.database import ComparisonDatabase, connect

PEOPLE = 50
ANSWERS = 20  # of each person in each round
ROUNDS = 3
PACE_S = (3.0, 5.0)  # from a pair on screen to its answer
PACED_S = 12.0
_RUN, _TASK = "bench", "half-cheetah"


@dataclass(frozen=True)
class Answered:
    """per_second, turned_away: answers and refusals a second, medians of rounds that take turns. rushed_ms, paced_ms:
    95th percentile until an answer is acknowledged, as fast as all can and at the pace of people. paced: how many
    answers that is of. server_us, generator_us: processor time for each answer of the server and of the people."""

    per_second: float
    turned_away: float
    rushed_ms: float
    paced_ms: float
    paced: int
    server_us: float
    generator_us: float


class Person:
    """One labeler's browser: a connection and a session."""

    def __init__(self, port: int, cookie: str) -> None:
        self._port, self._cookie = port, cookie

    async def connect(self) -> None:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port, limit=1 << 20)

    async def post(self, path: str, body: dict[str, Any], host: str = "127.0.0.1") -> tuple[int, bytes]:
        """Status and body of the reply."""
        sent = json.dumps(body).encode()
        self._writer.write(
            f"POST {path} HTTP/1.1\r\nhost: {host}\r\nx-twoclips: 1\r\ncontent-type: application/json\r\n"
            f"cookie: {self._cookie}\r\ncontent-length: {len(sent)}\r\n\r\n".encode()
            + sent
        )
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = head.partition(b"content-length: ")[2].partition(b"\r\n")[0]
        return int(head[9:12]), await self._reader.readexactly(int(length))

    async def answer(self, token: str, query: str) -> float:
        """Seconds until the answer is acknowledged."""
        body = {"label_id": secrets.token_hex(16), "token": token, "query": query, "answer": "left"}
        begin = time.perf_counter()
        status, reply = await self.post("/api/answers", {**body, "evidence": {"response_s": 3.0, "input": "bench"}})
        if status != 200:
            raise RuntimeError(f"an answer of the benchmark was refused with {status}: {reply[:200]!r}")
        return time.perf_counter() - begin

    def close(self) -> None:
        self._writer.close()


def measure_answers() -> Answered:
    """In the present folder, whose disk counts."""
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as folder, PrivateRedis(Path(folder)) as url:
        client = connect(url)
        database, pool = ComparisonDatabase(client, _RUN), LabelerPool(client, _RUN)
        database.clips.put([some_clip(0), some_clip(1)])
        rushed = PEOPLE * ANSWERS * ROUNDS
        spare = int(PEOPLE * (2 + PACED_S / PACE_S[0]))
        database.offer([Query(f"q{index}", "clip0", "clip1", 0.0, 0, 0.0) for index in range(rushed + spare)])
        names = [f"person{index}" for index in range(PEOPLE)]
        cookies = [f"{cookie_name(_RUN)}={pool.join(pool.invite(name))}" for name in names]
        queue = QueryQueue(client, _RUN, lease_s=600.0)

        def claimed() -> list[Iterator[tuple[str, str]]]:
            with ThreadPoolExecutor(8) as threads:
                return list(threads.map(lambda name: _leases(queue, name), names))

        server = LabelServer(Served(_TASK, url, _RUN), Path(folder), LabelServerConfig(port=0))
        with server as address:
            port = int(address.rstrip("/").rpartition(":")[2])
            people = [Person(port, cookie) for cookie in cookies]
            measured = asyncio.run(_measure(people, claimed, psutil.Process(server.process_id)))
        if database.num_labels() != rushed + measured.paced:
            raise RuntimeError(
                f"{rushed + measured.paced} answers were acknowledged, {database.num_labels()} are there"
            )
        client.close()
    return measured


def _leases(queue: QueryQueue, name: str) -> Iterator[tuple[str, str]]:
    leases = [queue.claim(name) for _ in range(ANSWERS * ROUNDS)]
    return iter([(lease.token, lease.query_id) for lease in leases if lease is not None])


async def _measure(
    people: list[Person], claimed: Callable[[], list[Iterator[tuple[str, str]]]], server: psutil.Process
) -> Answered:
    for person in people:
        await person.connect()
    await people[0].post("/", {})  # the server is there, or this waits for it
    paced = await _paced(people)
    leases = claimed()  # only now: the pages give nobody a pair who holds as many as this
    rates, refusals, rushed, used_s, server_s = [], [], [], 0.0, 0.0
    for _ in range(ROUNDS):
        refusals.append(await _round([_turned_away(person) for person in people]))
        begin_s, server_begin_s = time.process_time(), processor_s(server)
        rates.append(await _round([_rushed(*pair, rushed) for pair in zip(people, leases, strict=True)]))
        used_s += time.process_time() - begin_s
        server_s += processor_s(server) - server_begin_s
    for person in people:
        person.close()
    return Answered(
        per_second=median(rates),
        turned_away=median(refusals),
        rushed_ms=_p95_ms(rushed),
        paced_ms=_p95_ms(paced),
        paced=len(paced),
        server_us=1e6 * server_s / len(rushed),
        generator_us=1e6 * used_s / len(rushed),
    )


async def _round(all_people: list[Any]) -> float:
    begin = time.perf_counter()
    await asyncio.gather(*all_people)
    return PEOPLE * ANSWERS / (time.perf_counter() - begin)


async def _turned_away(person: Person) -> None:
    for _ in range(ANSWERS):
        await person.post("/api/answers", {"nobody": "reads this"}, host="elsewhere")


async def _rushed(person: Person, leases: Iterator[tuple[str, str]], taken_s: list[float]) -> None:
    for _ in range(ANSWERS):
        taken_s.append(await person.answer(*next(leases)))


async def _paced(people: list[Person]) -> list[float]:
    """Seconds until each answer was acknowledged, all people beginning at times of their own."""
    taken_s: list[float] = []
    end = time.perf_counter() + PACED_S

    async def label(person: Person, dice: random.Random) -> None:
        await asyncio.sleep(dice.uniform(0.0, PACE_S[1]))
        while time.perf_counter() < end:
            _, reply = await person.post("/api/claims", {"token": secrets.token_hex(16)})
            pair = json.loads(reply)["pair"]
            await asyncio.sleep(dice.uniform(*PACE_S))
            taken_s.append(await person.answer(pair["token"], pair["query"]))

    await asyncio.gather(*(label(person, random.Random(index)) for index, person in enumerate(people)))
    return taken_s


def _p95_ms(seconds: list[float]) -> float:
    return 1e3 * quantiles(seconds, n=20)[-1]
