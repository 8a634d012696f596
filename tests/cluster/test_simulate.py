"""Simulated people over HTTP: they label, they can always be stopped, and they end with their run."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from cluster.label import invite_links
from cluster.label_server import LabelServer, LabelServerConfig, LabelServerError, Served
from cluster.page_address import announced
from cluster.redis_server import PrivateRedis
from cluster.run_folder import RunFolder
from cluster.simulate import SimulatedPerson
from cluster.supervise import SupervisionConfig
from labeling.labelers import LabelerPool
from reward_service.client import connect
from reward_service.comparisons import Answer
from reward_service.database import START, ComparisonDatabase
from tests.cluster.conftest import Done
from tests.cluster.runs import small_config
from tests.labeling.pool import TASK, offer_pairs

pytestmark = pytest.mark.redis

ROOT = Path(__file__).parents[2]


def test_a_perfect_person_says_the_truth_and_stops_though_the_server_is_gone(
    database: ComparisonDatabase, redis_url: str, tmp_path: Path
) -> None:
    offer_pairs(database, 5)
    server = LabelServer(Served(TASK, redis_url, database.run_id), tmp_path, LabelServerConfig(port=0))
    with server as address:
        link = invite_links(LabelerPool(database.client, database.run_id), address, 1)[0]
        person = SimulatedPerson("perfect", address, link.rpartition("=")[2], database, 1)
        stop = threading.Event()
        assert all(person.label(stop) for _ in range(5))
        assert not person.label(stop)
    for label in database.labels_since(START)[0]:
        query = database.get_query(label.query_id)
        assert query is not None
        clips = database.clips.get([query.left, query.right])
        left_is_better = clips[query.left].true_return > clips[query.right].true_return
        assert label.answer == (Answer.LEFT if left_is_better else Answer.RIGHT)
    undeliverable = threading.Thread(target=person._deliver, args=({}, stop))
    undeliverable.start()
    stop.set()
    undeliverable.join(20)
    assert not undeliverable.is_alive()
    person.close()


class SlowPages(BaseHTTPRequestHandler):
    """Lose the first `lost` replies, are too busy for the next request, then answer `status`."""

    lost, status = 2, 200
    bodies: list[dict[str, str]]

    def do_POST(self) -> None:
        self.bodies.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        if len(self.bodies) <= self.lost:
            return
        self.send_response(503 if len(self.bodies) == self.lost + 1 else self.status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_request(self, *_: object) -> None: ...


@contextmanager
def slow_pages(lost: int, status: int) -> Iterator[tuple[str, list[dict[str, str]]]]:
    """Their address, and what was posted to them."""
    bodies: list[dict[str, str]] = []
    with HTTPServer(("127.0.0.1", 0), type("", (SlowPages,), {"lost": lost, "status": status, "bodies": bodies})) as it:
        serving = threading.Thread(target=it.serve_forever, args=(0.05,))
        serving.start()
        try:
            yield f"http://127.0.0.1:{it.server_port}/", bodies
        finally:
            it.shutdown()
            serving.join()


def test_who_comes_while_the_pages_start_asks_again_and_is_let_in_once(
    database: ComparisonDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cluster.simulate.PAUSE_S", 0.01)
    with slow_pages(2, 200) as (address, bodies):
        SimulatedPerson("perfect", address, "i" * 16, database, 1).close()
    assert len(bodies) == 4
    assert {body["invite"] for body in bodies} == {"i" * 16}
    assert len({body["join_id"] for body in bodies}) == 1, "each finds the session that a lost reply may have begun"


@pytest.mark.parametrize(
    ("lost", "status", "says"), [(0, 403, "refused an invite"), (10**6, 200, "the run has ended, or they cannot start")]
)
def test_pages_that_refuse_or_do_not_start_are_told(
    database: ComparisonDatabase, monkeypatch: pytest.MonkeyPatch, lost: int, status: int, says: str
) -> None:
    monkeypatch.setattr("cluster.simulate.PAUSE_S", 0.01)
    monkeypatch.setattr(LabelServer, "PATIENCE", SupervisionConfig(stuck_s=0.1, starting_s=0.3))
    with slow_pages(lost, status) as (address, _), pytest.raises(LabelServerError, match=says):
        SimulatedPerson("perfect", address, "i" * 16, database, 1)


def test_pages_that_are_gone_are_not_waited_for(database: ComparisonDatabase) -> None:
    begin_s = time.monotonic()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody else can listen there meanwhile, and this one does not
        address = f"http://127.0.0.1:{taken.getsockname()[1]}/"
        with pytest.raises(LabelServerError, match="the run has ended"):
            SimulatedPerson("perfect", address, "i" * 16, database, 1)
    assert time.monotonic() - begin_s < LabelServer.PATIENCE.starting_s / 2


def _run(path: Path, labels: int, pairs: int) -> tuple[RunFolder, PrivateRedis]:
    """A run of half-cheetah that wants `labels` and has asked `pairs`; its server is still up."""
    folder = RunFolder.create(path, small_config(TASK, labels=labels, labeler="human"))
    private = PrivateRedis(folder.path)
    with connect(private.start()) as client:
        offer_pairs(ComparisonDatabase(client, folder.run_id), pairs)
    return folder, private


@pytest.mark.parametrize(
    ("labels", "pairs", "pause_s", "least", "most", "why"),
    [
        (100, 5, 0.0, 5, 5, "the run is at rest, and nothing that it asked is left"),
        (4, 40, 1.5, 4, 6, "has the 4 labels that it wants"),  # looked for once a second: each may give one more
    ],
)
def test_at_a_run_that_rests_they_stop_when_all_is_answered_or_enough(
    twoclips: Callable[..., Done],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    labels: int,
    pairs: int,
    pause_s: float,
    least: int,
    most: int,
    why: str,
) -> None:
    label = SimulatedPerson.label

    def label_and_pause(person: SimulatedPerson, stop: threading.Event) -> bool:
        answered = label(person, stop)
        stop.wait(pause_s)
        return answered

    monkeypatch.setattr(SimulatedPerson, "label", label_and_pause)
    folder, private = _run(tmp_path / "run", labels, pairs)
    private.stop()
    done = twoclips("label", folder.path, "--simulate", "perfect,mistaken", "--json")
    assert done.code == 0
    assert why in done.stderr
    counts = json.loads(done.stdout.splitlines()[-1])["labels"]
    assert set(counts) == {"perfect-0", "mistaken-1"}
    assert least <= sum(counts.values()) <= most
    assert f"perfect-0 gave {counts['perfect-0']} answers" in done.stderr


def test_they_stop_when_the_run_that_serves_the_pages_is_gone(twoclips: Callable[..., Done], tmp_path: Path) -> None:
    folder, private = _run(tmp_path / "run", 1000, 3)
    server = LabelServer(Served(TASK, private.url, folder.run_id), folder.path, LabelServerConfig(port=0))
    with private:
        server.start()

        def end() -> None:
            client = connect(private.url)
            database = ComparisonDatabase(client, folder.run_id)
            while database.num_labels() < 3:
                gone.wait(0.1)
            gone.wait(2.0)  # with nothing left to answer, they wait for what a run at work may still ask
            client.close()
            server.stop()

        gone = threading.Event()
        ending = threading.Thread(target=end)
        ending.start()
        done = twoclips("label", folder.path, "--simulate", "perfect", "--json")
        ending.join()
    assert done.code == 0
    assert "the run has ended" in done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["labels"] == {"perfect-0": 3}


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_pages_of_a_run_at_rest_end_cleanly_and_leave_no_address(tmp_path: Path, how: signal.Signals) -> None:
    folder, private = _run(tmp_path / "run", 10, 1)
    private.stop()
    command = "from cluster.cli import main; main()"
    arguments = [sys.executable, "-c", command, "label", str(folder.path), "--no-open", "--port", "0"]
    arguments += ["--name", "anna", "--json"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT) as pages:
        assert pages.stdout is not None
        told = json.loads(pages.stdout.readline())
        address = told["address"]
        assert len(told["invites"]) == 1, "for the one of that name"
        assert announced(folder.path) == address
        time.sleep(0.5)  # it is about to wait for nothing but this
        pages.send_signal(how)
        assert pages.wait(30) == 0
    assert not (folder.path / "labeling" / "url").exists()


def test_a_kind_of_person_that_there_is_not_is_refused_before_anything_is_served(
    twoclips: Callable[..., Done], tmp_path: Path
) -> None:
    folder, private = _run(tmp_path / "run", 10, 1)
    private.stop()
    done = twoclips("label", folder.path, "--simulate", "perfekt:3", "--no-open")
    assert done.code == 2
    assert "'perfekt:3' is no simulated person" in done.stderr
    assert "label at" not in done.stdout
