"""The labeling server as a process: it serves on one address through the death of whoever serves, and ends with us."""

from __future__ import annotations

import os
import re
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import psutil
import pytest

from cluster.label import admin_page, invite_links
from cluster.label_server import LabelServer, LabelServerConfig, LabelServerError, Served
from cluster.page_address import announced
from cluster.supervise import Life
from labeling.labelers import LabelerPool, NotFreeError, Role
from reward_service.database import START, ComparisonDatabase
from tests.labeling.pool import HEADERS, TASK, offer_pairs
from tests.waiting import wait_until

pytestmark = pytest.mark.redis


@pytest.fixture
def server(database: ComparisonDatabase, redis_url: str, tmp_path: Path) -> Iterator[LabelServer]:
    offer_pairs(database, 6)
    server = LabelServer(Served(TASK, redis_url, database.run_id), tmp_path, LabelServerConfig(port=0))
    server.start()
    yield server
    server.stop()


def _session(server: LabelServer) -> dict[str, object]:
    return httpx2.get(f"{server.address}api/session", timeout=60).json()


def test_a_browser_that_comes_before_the_server_is_ready_waits_and_is_served_and_nothing_is_left_behind(
    server: LabelServer,
) -> None:
    """Nor is an address believed that a killed process left behind: another run may have its pages there by now, and
    labels would go to that one."""
    folder = server._folder.parent
    assert _session(server)["task"] == TASK
    stale = (server._folder / "url").read_text(encoding="utf-8")
    assert stale.strip() == server.address == announced(folder)
    process = server.process_id
    assert process is not None
    server.stop()
    assert not psutil.pid_exists(process)
    assert not (server._folder / "url").exists()
    assert announced(folder) == ""
    (server._folder / "url").write_text(stale, encoding="utf-8")
    assert announced(folder) == ""


def test_killed_in_mid_label_another_process_serves_the_same_address_and_the_answer_counts_once(
    server: LabelServer, database: ComparisonDatabase
) -> None:
    pair = httpx2.post(
        f"{server.address}api/claims", json={"token": "a" * 32}, headers=HEADERS, timeout=60
    ).json()["pair"]  # fmt: skip
    answer = {
        "label_id": "b" * 32,
        "token": pair["token"],
        "query": pair["query"],
        "answer": "left",
        "evidence": {"response_s": 1.0},
    }
    first = httpx2.post(f"{server.address}api/answers", json=answer, headers=HEADERS, timeout=60).json()
    killed = server.process_id
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    again = httpx2.post(f"{server.address}api/answers", json=answer, headers=HEADERS, timeout=60).json()
    assert (first["repeated"], again["repeated"]) == (False, True)
    assert server.process_id != killed
    assert server.life.restarts == 1
    assert len(database.labels_since(START)[0]) == 1


def test_one_that_is_alive_and_does_not_answer_is_ended_and_another_serves(
    server: LabelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LabelServer, "ASK_EVERY_S", 0.3)
    _session(server)
    begin_s = time.monotonic()
    wait_until(lambda: server.life._heard_s > begin_s, 60, "it to be asked whether it lives, and to answer")
    frozen = server.process_id
    assert frozen is not None
    os.kill(frozen, signal.SIGSTOP)
    with monkeypatch.context() as impatient:  # with the frozen one alone: the next may have to share a busy machine
        impatient.setattr(Life, "patience_s", 2.0)
        wait_until(lambda: server.life.restarts > 0, 60, "another to take its place")
    assert _session(server)["task"] == TASK
    assert server.process_id != frozen
    told = server.life.as_row()
    assert (told["name"], told["restarts"]) == ("labeling pages", 1)
    assert re.fullmatch(r"they had not answered for \d+ s", told["why"])


def test_a_taken_port_is_passed_over(redis_url: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with LabelServer(Served(TASK, redis_url, "other"), tmp_path, LabelServerConfig(port=port)) as address:
            assert not address.endswith(f":{port}/")


def test_at_another_address_only_invited_people_get_in(
    database: ComparisonDatabase, redis_url: str, tmp_path: Path
) -> None:
    config = LabelServerConfig(host="127.0.0.2", port=0)
    assert config.invited_only
    with LabelServer(Served(TASK, redis_url, database.run_id), tmp_path / "pages", config) as address:
        assert address.startswith("http://127.0.0.2:")
        assert httpx2.get(f"{address}api/session", timeout=60).status_code == 401
        [link] = invite_links(LabelerPool(database.client, database.run_id), address, 1, Role.ADMIN)
        page, _, invite = link.partition("#invite=")
        assert page == admin_page(address) == f"{address}admin"
        with httpx2.Client(base_url=address, headers=HEADERS) as client:
            assert client.post("api/sessions", json={"invite": invite}).json()["role"] == "admin"
            assert client.get("api/admin/overview").status_code == 200


def test_who_was_here_before_comes_back_under_their_name(
    server: LabelServer, database: ComparisonDatabase, redis_url: str
) -> None:
    pool = LabelerPool(database.client, database.run_id)
    links = invite_links(pool, server.address, 2, name="anna")
    with httpx2.Client(base_url=server.address, headers=HEADERS, timeout=60) as client:
        for link in links:
            body = {"invite": link.partition("#invite=")[2]}
            assert client.post("api/sessions", json=body).json()["labeler"] == "anna"
    with pytest.raises(NotFreeError, match="without an invite"):
        invite_links(pool, server.address, 1, name="local")


@pytest.mark.parametrize("host", ["", "0.0.0.0", "::"])
def test_an_address_that_nobody_can_type_is_refused(host: str) -> None:
    with pytest.raises(ValueError, match=r"labeling\.host"):
        LabelServerConfig(host=host)


def test_an_address_of_another_machine_is_one_sentence(redis_url: str, tmp_path: Path) -> None:
    server = LabelServer(Served(TASK, redis_url, "other"), tmp_path, LabelServerConfig(host="192.0.2.1"))
    with pytest.raises(LabelServerError, match=r"no port of 192\.0\.2\.1"):
        server.start()


def test_who_stops_serving_leaves_the_address_of_who_began_meanwhile(
    server: LabelServer, database: ComparisonDatabase, redis_url: str, tmp_path: Path
) -> None:
    with LabelServer(Served(TASK, redis_url, database.run_id), tmp_path, LabelServerConfig(port=0)) as address:
        server.stop()
        assert announced(tmp_path) == address
    assert announced(tmp_path) == ""
