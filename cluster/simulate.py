"""Simulated people who label a run over HTTP, through the same pages' API as anybody: `twoclips label --simulate`.

Each has an invite, a session and a thread of their own. What they look at is not the picture: they are told the true
returns by the run's database, and answer as their kind does.
"""

from __future__ import annotations

import random
import secrets
import threading
from collections.abc import Callable
from contextlib import closing

import httpx2

from cluster.label import Serving
from labeling.desk import is_mirrored
from labeling.people import JUDGES, parse_people
from reward_service.client import connect
from reward_service.database import ComparisonDatabase

PAUSE_S = 0.5
"""How long a person waits who was given nothing, or no answer."""


class SimulatedPerson:
    """One labeler over HTTP. An answer is sent under one id until it is acknowledged, whatever happens on the way."""

    def __init__(self, kind: str, address: str, invite: str, database: ComparisonDatabase, seed: int) -> None:
        self.kind, self._judge, self._database = kind, JUDGES[kind], database
        self._random = random.Random(seed)
        self._http = httpx2.Client(base_url=address, headers={"x-twoclips": "1"}, timeout=10.0)
        self._http.post("api/sessions", json={"invite": invite}).raise_for_status()
        self.acknowledged: list[str] = []

    def label(self, stop: threading.Event) -> bool:
        """Answers one pair; False where there was none. Errors of the connection come through before an answer is
        begun; once begun it is repeated until it is stored, refused for good, or `stop` is set."""
        reply = self._http.post("api/claims", json={"token": self._id()})
        reply.raise_for_status()
        pair = reply.json()["pair"]
        if pair is None:
            return False
        query = self._database.get_query(pair["query"])
        clips = self._database.get_clips([query.left, query.right]) if query else {}
        if query is None or len(clips) < 2:
            return False
        left, right = clips[query.left].true_return, clips[query.right].true_return
        if is_mirrored(pair["token"]):
            left, right = right, left
        answer = self._judge(left, right, self._random)
        body = {"label_id": self._id(), "token": pair["token"], "query": pair["query"], "answer": answer.value}
        return self._deliver(
            {**body, "evidence": {"response_s": self._random.uniform(1.5, 6.0), "input": "simulated"}}, stop
        )

    def _deliver(self, body: dict[str, object], stop: threading.Event) -> bool:
        while not stop.is_set():
            try:
                reply = self._http.post("api/answers", json=body)
            except httpx2.TransportError:
                stop.wait(PAUSE_S)
                continue
            if reply.status_code == 200:
                self.acknowledged.append(str(body["label_id"]))
                return True
            if reply.status_code not in (429, 503):
                return False  # the lease is over: somebody else answered
            stop.wait(PAUSE_S)
        return False

    def _id(self) -> str:
        return secrets.token_hex(16)

    def close(self) -> None:
        self._http.close()


def simulate_people(serving: Serving, text: str, say: Callable[[str], None]) -> dict[str, int]:
    """Let the people of `text` label until Ctrl-C; answers acknowledged by kind and number."""
    kinds = parse_people(text)
    stop = threading.Event()
    with closing(connect(serving.redis_url)) as client:
        database = ComparisonDatabase(client, serving.run_id)
        people = [
            SimulatedPerson(kind, serving.address, link.rpartition("=")[2], database, index)
            for index, (kind, link) in enumerate(zip(kinds, serving.invites(len(kinds)), strict=True))
        ]
        threads = [threading.Thread(target=_work, args=(person, stop), daemon=True) for person in people]
        for thread in threads:
            thread.start()
        try:
            while not stop.wait(5.0):
                say(f"{len(people)} simulated people have given {sum(len(p.acknowledged) for p in people):,} answers")
        except KeyboardInterrupt:
            stop.set()
        for thread in threads:
            thread.join()
        for person in people:
            person.close()
    return {f"{person.kind}-{index}": len(person.acknowledged) for index, person in enumerate(people)}


def _work(person: SimulatedPerson, stop: threading.Event) -> None:
    """Labels until told to stop; with nothing to label, or nobody who answers, it looks again every half second."""
    while not stop.is_set():
        try:
            answered = person.label(stop)
        except httpx2.HTTPError:
            answered = False
        if not answered:
            stop.wait(PAUSE_S)
