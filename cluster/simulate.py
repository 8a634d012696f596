"""Simulated people who label a run over HTTP, through the same pages' API as anybody: `twoclips label --simulate`.

Each has an invite, a session and a thread of their own. What they look at is not the picture: they are told the true
returns by the run's database, and answer as their kind does.
"""

from __future__ import annotations

import random
import secrets
import threading
import time
from collections.abc import Callable
from contextlib import closing
from itertools import count

import httpx2
import redis

from cluster.label import Serving
from cluster.label_server import LabelServer, LabelServerError
from cluster.page_address import is_listening
from cluster.run_folder import RunFolder
from cluster.run_status import read_status
from labeling.desk import is_mirrored
from labeling.oracle import perceived_return
from labeling.people import JUDGES, SHORT_SIGHTED, parse_people
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
        self.acknowledged: list[str] = []
        self._join(address, invite)

    def _join(self, address: str, invite: str) -> None:
        """Begins the session, once the pages are there. Raises LabelServerError where nobody serves them any more, they
        do not start in time, or this invite is refused."""
        body: dict[str, object] = {"invite": invite, "join_id": self._id()}
        deadline_s = time.monotonic() + LabelServer.PATIENCE.starting_s
        while is_listening(address) and time.monotonic() < deadline_s:
            reply = self._post("api/sessions", body)
            if reply is None:
                time.sleep(PAUSE_S)
            elif reply.status_code == 200:
                return
            else:
                raise LabelServerError(
                    f"the labeling pages at {address} refused an invite ({reply.status_code}: {reply.text}); give the "
                    "same command again"
                )
        raise LabelServerError(
            f"the labeling pages at {address} do not answer: the run has ended, or they cannot start; see `twoclips "
            "status`, and labeling/server.log in the run's folder"
        )

    def label(self, stop: threading.Event) -> bool:
        """Answers one pair; False where there was none. Errors of the connection come through before an answer is
        begun; once begun it is repeated until it is stored, refused for good, or `stop` is set."""
        reply = self._http.post("api/claims", json={"token": self._id()})
        reply.raise_for_status()
        pair = reply.json()["pair"]
        if pair is None:
            return False
        query = self._database.get_query(pair["query"])
        clips = self._database.clips.get([query.left, query.right]) if query else {}
        if query is None or len(clips) < 2:
            return False
        short_sighted = self.kind == SHORT_SIGHTED
        left, right = (perceived_return(clips[side], short_sighted) for side in (query.left, query.right))
        if is_mirrored(pair["token"]):
            left, right = right, left
        answer = self._judge(left, right, self._random)
        body = {"label_id": self._id(), "token": pair["token"], "query": pair["query"], "answer": answer.value}
        return self._deliver(
            {**body, "evidence": {"response_s": self._random.uniform(1.5, 6.0), "input": "simulated"}}, stop
        )

    def _deliver(self, body: dict[str, object], stop: threading.Event) -> bool:
        while not stop.is_set():
            reply = self._post("api/answers", body)
            if reply is None:
                stop.wait(PAUSE_S)
            elif reply.status_code == 200:
                self.acknowledged.append(str(body["label_id"]))
                return True
            else:
                return False  # the lease is over: somebody else answered
        return False

    def _post(self, path: str, body: dict[str, object]) -> httpx2.Response | None:
        """The reply; None where the same is to be sent again in a moment: there was none, or one that says so."""
        try:
            reply = self._http.post(path, json=body)
        except httpx2.TransportError:
            return None
        return None if reply.status_code in (429, 503) else reply

    def _id(self) -> str:
        return secrets.token_hex(16)

    def close(self) -> None:
        self._http.close()


class Pool:
    """Simulated people at work, each on a thread; `ending` says when there is no more for them to do."""

    def __init__(
        self, folder: RunFolder, serving: Serving, people: list[SimulatedPerson], database: ComparisonDatabase
    ):
        self._folder, self._serving, self._database = folder, serving, database
        self._people, self._idle = people, [False] * len(people)
        self._was_idle = False
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._work, args=(index,), daemon=True) for index in range(len(people))
        ]
        for thread in self._threads:
            thread.start()

    @property
    def answers(self) -> int:
        return sum(len(person.acknowledged) for person in self._people)

    def ending(self) -> str:
        """Why labeling is over, as a sentence; "" while it is not. Asked about once a second.

        The run's pages are served on a socket of the run's own process: where nobody listens any more, it is gone. At
        rest nothing new is asked: it is over once nobody is given anything and no lease may bring something back."""
        if not self._serving.is_ours and not is_listening(self._serving.address):
            return "the run has ended"
        try:
            if self._database.num_labels() >= self._folder.config.labels:
                return f"the run has the {self._folder.config.labels:,} labels that it wants"
            leases = self._database.counts()["leases"]
        except redis.RedisError:
            return ""  # it may come back; a run that is gone is noticed above
        is_idle = all(self._idle) and leases == 0
        was_idle, self._was_idle = self._was_idle, is_idle  # twice: a lease that was swept may be given on
        if is_idle and was_idle and self._serving.is_ours and read_status(self._folder)["state"] != "running":
            return "the run is at rest, and nothing that it asked is left to answer"
        return ""

    def stop(self) -> None:
        """Ends the threads; an answer that was begun and not acknowledged by now is given up."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _work(self, index: int) -> None:
        """With nothing to label, or nobody who answers, a person looks again every half second."""
        while not self._stop.is_set():
            try:
                answered = self._people[index].label(self._stop)
                self._idle[index] = not answered
            except (httpx2.HTTPError, redis.RedisError):
                answered = False
            if not answered:
                self._stop.wait(PAUSE_S)


def simulate_people(folder: RunFolder, serving: Serving, text: str, say: Callable[[str], None]) -> dict[str, int]:
    """Let the people of `text` label until the run has its labels, has ended, or rests with nothing left to answer; or
    until Ctrl-C. Answers acknowledged by kind and number."""
    kinds = parse_people(text)
    links = serving.invites(len(kinds))
    with closing(connect(serving.run.redis_url)) as client:
        database = ComparisonDatabase(client, serving.run.run_id)
        people = [
            SimulatedPerson(kind, serving.address, link.rpartition("=")[2], database, index)
            for index, (kind, link) in enumerate(zip(kinds, links, strict=True))
        ]
        pool = Pool(folder, serving, people, database)
        try:
            for second in count(1):
                time.sleep(1.0)
                if why := pool.ending():
                    say(why)
                    break
                if second % 5 == 0:
                    say(f"{len(people)} simulated people have given {pool.answers:,} answers")
        except KeyboardInterrupt:
            say("stopped")
        pool.stop()
        for person in people:
            person.close()
    return {f"{person.kind}-{index}": len(person.acknowledged) for index, person in enumerate(people)}
