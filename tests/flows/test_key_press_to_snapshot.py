"""How long after an answer was sent the first reward model is there that was fitted to it: a run from its start, its
acting, learning and reward training on the cores that there are, and people who answer every few seconds. The labels
that the untrained policy waits for, and those that come once it learns, have a figure each."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median, quantiles

import pytest

from cluster.label import invite_links
from cluster.redis_server import PrivateRedis
from cluster.simulate import SimulatedPerson
from labeling.labelers import LabelerPool
from reward_service.client import connect
from reward_service.database import START, ComparisonDatabase
from reward_service.snapshot import RewardSnapshot
from tests.flows.human_run import human_run
from tests.waiting import wait_until

pytestmark = [pytest.mark.redis, pytest.mark.ray, pytest.mark.slow]

PEOPLE = 4
PACE_S = (3.0, 5.0)
ANSWERS = 120
BAR_S = 3.0


class TimedPerson(SimulatedPerson):
    """Remembers when each answer was sent."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # pyright: ignore[reportArgumentType]
        self.sent_s: dict[str, float] = {}

    def _deliver(self, body: dict[str, object], stop: threading.Event) -> bool:
        self.sent_s[str(body["label_id"])] = time.monotonic()
        return super()._deliver(body, stop)

    def work(self, stop: threading.Event) -> None:
        while not stop.wait(self._random.uniform(*PACE_S)):
            self.label(stop)


def _watch(database: ComparisonDatabase, seen: list[tuple[float, int]], stop: threading.Event) -> None:
    """When each snapshot was there, and how many labels it was fitted to."""
    version = 0
    while not stop.wait(0.02):
        if database.snapshots.version() > version:
            now_s, newest = time.monotonic(), database.snapshots.get()
            assert newest is not None
            version = newest[0]
            seen.append((now_s, RewardSnapshot.from_bytes(newest[1]).num_labels))


def test_a_label_is_in_the_reward_model_within_three_seconds(tmp_path: Path) -> None:
    with ExitStack() as stack:
        private = PrivateRedis(tmp_path / "own")
        stack.enter_context(private)
        options = ["--labels", "700", "--set", "query.initial_fraction=0.1"]
        run = stack.enter_context(human_run(tmp_path / "run", private.url, *options))
        client = stack.enter_context(connect(private.url))
        database = ComparisonDatabase(client, run.folder.run_id)
        links = invite_links(LabelerPool(client, run.folder.run_id), run.address, PEOPLE)
        people = [
            TimedPerson("perfect", run.address, link.rpartition("=")[2], database, index)
            for index, link in enumerate(links)
        ]
        for person in people:
            stack.callback(person.close)
        stop, seen = threading.Event(), []
        threads = [threading.Thread(target=person.work, args=(stop,)) for person in people]
        threads.append(threading.Thread(target=_watch, args=(database, seen, stop)))
        for thread in threads:
            thread.start()
        try:
            wait_until(run.is_learning, 300.0)
            first = database.num_labels()
            wait_until(lambda: database.num_labels() >= first + ANSWERS, 600.0)
            wait_until(lambda: bool(seen) and seen[-1][1] >= first + ANSWERS)
        finally:
            stop.set()
            for thread in threads:
                thread.join(60)
        counted = [label for label in database.labels_since(START)[0] if label.answer and not label.surplus]
        rate = run.folder.read_metrics()[-1]["steps_per_second"]
    sent_s = {label_id: at for person in people for label_id, at in person.sent_s.items()}
    taken_s = [
        next(at for at, labels in seen if labels >= place) - sent_s[label.label_id]
        for place, label in enumerate(counted[: first + ANSWERS], 1)
    ]
    print(f"{rate:,.0f} steps per second")
    parts = {"before the run learns": taken_s[:first], "once it learns": taken_s[first:]}
    p95 = {when: quantiles(part, n=20)[-1] for when, part in parts.items()}
    for when, part in parts.items():
        print(f"{len(part)} answers {when}: median {median(part):.2f} s, p95 {p95[when]:.2f} s")
    assert max(p95.values()) <= BAR_S
