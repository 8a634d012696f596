"""People who label over HTTP without end, and an observer outside of every process that is harmed: what was
acknowledged to them is held against what the log says afterwards."""

from __future__ import annotations

import threading
from collections import Counter
from types import TracebackType

import httpx2
import redis

from cluster.label import invite_links
from cluster.simulate import SimulatedPerson
from labeling.labelers import LabelerPool
from reward_service.client import connect
from reward_service.comparisons import Label
from reward_service.database import START, ComparisonDatabase


class Crowd:
    """`size` people at work on the pages at `address`, while it is entered. `redis_url` is asked without a proxy."""

    def __init__(self, size: int, address: str, redis_url: str, run_id: str) -> None:
        self._client = connect(redis_url)
        self._database = ComparisonDatabase(self._client, run_id)
        links = invite_links(LabelerPool(self._client, run_id), address, size)
        self._people = [
            SimulatedPerson("perfect", address, link.rpartition("=")[2], self._database, index)
            for index, link in enumerate(links)
        ]
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._label_for_ever, args=(each,)) for each in self._people]

    def __enter__(self) -> Crowd:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.rest()
        for person in self._people:
            person.close()
        self._client.close()

    def rest(self) -> None:
        """Nobody labels any more; an answer under way is given up."""
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    @property
    def acknowledged(self) -> int:
        """How many answers were acknowledged so far."""
        return sum(len(person.acknowledged) for person in self._people)

    def audit(self) -> tuple[int, int]:
        """Labels lost and doubled so far: acknowledged but not in the log; in the log twice under one id, or by one
        labeler on one query."""
        acknowledged = {label_id for person in self._people for label_id in list(person.acknowledged)}
        log = self._log()
        times = Counter(label.label_id for label in log)
        current = Counter((label.query_id, label.labeler) for label in log)
        doubled = sum(count > 1 for count in times.values()) + sum(count > 1 for count in current.values())
        return len(acknowledged - set(times)), doubled

    def _log(self) -> list[Label]:
        labels, cursor = [], START
        while True:
            more, cursor = self._database.labels_since(cursor)
            if not more:
                return labels
            labels += more

    def _label_for_ever(self, person: SimulatedPerson) -> None:
        while not self._stop.is_set():
            try:
                person.label(self._stop)
                self._stop.wait(0.4)  # so that there is always something left to label
            except (httpx2.HTTPError, redis.RedisError):
                self._stop.wait(0.2)
