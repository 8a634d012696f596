"""The admin's API on a real Redis: who may, what it tells, what it does."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from cluster.comparison_file import write_rows
from labeling.labelers import LabelerPool, Role
from labeling.queue import QueryQueue
from labeling.server import PoolConfig, make_app
from reward_service.comparison_rows import rows_of
from reward_service.comparisons import Answer
from reward_service.database import ComparisonDatabase
from reward_service.reliability import STATUS
from tests.labeling.pool import EVIDENCE, HEADERS, TASK, answer_to, claimed_pair, new_id, offer_pairs

pytestmark = pytest.mark.redis

GETS = ["overview", "comparisons"]
POSTS: list[tuple[str, dict[str, Any]]] = [
    ("pauses", {"labeler": "*", "paused": True}),
    ("revocations", {"labeler": "ben"}),
    ("invites", {}),
    ("gold", {"query": "q1"}),
]


@pytest.fixture
def app(database: ComparisonDatabase) -> FastAPI:
    offer_pairs(database, 6)
    return make_app(PoolConfig(database.run_id, TASK), database.client)


@pytest.fixture
def admin(app: FastAPI) -> Iterator[TestClient]:
    """The local person."""
    with TestClient(app, base_url="http://127.0.0.1:8765", headers=HEADERS) as client:
        yield client


def signed_in(app: FastAPI, database: ComparisonDatabase, name: str, role: Role) -> TestClient:
    client = TestClient(app, base_url="http://127.0.0.1:8765", headers=HEADERS)
    invite = LabelerPool(database.client, database.run_id).invite(name, role=role)
    assert client.post("/api/sessions", json={"invite": invite}).json() == {"labeler": name, "role": role}
    return client


def label(client: TestClient, answer: str = "left") -> dict[str, Any]:
    body = answer_to(claimed_pair(client), answer)
    assert client.post("/api/answers", json=body).status_code == 200
    return body


def overview(client: TestClient) -> dict[str, Any]:
    reply = client.get("/api/admin/overview")
    assert reply.status_code == 200, reply.text
    return reply.json()


def row(client: TestClient, name: str) -> dict[str, Any]:
    [found] = [row for row in overview(client)["labelers"] if row["labeler"] == name]
    return found


def test_a_labeler_gets_403_from_every_admin_route_and_changes_nothing(
    app: FastAPI, database: ComparisonDatabase
) -> None:
    labeler = signed_in(app, database, "anna", Role.LABELER)
    before = {key: database.client.dump(key) for key in database.client.keys(f"{database.prefix}*")}
    for reply in [
        *(labeler.get(f"/api/admin/{path}") for path in GETS),
        *(labeler.post(f"/api/admin/{path}", json=body) for path, body in POSTS),
    ]:
        assert reply.status_code == 403
        assert "admins only" in reply.json()["error"]
    assert {key: database.client.dump(key) for key in database.client.keys(f"{database.prefix}*")} == before


def test_every_admin_route_is_among_those_that_are_tried(app: FastAPI) -> None:
    paths = {path for path in app.openapi()["paths"] if path.startswith("/api/admin/")}
    assert paths == {f"/api/admin/{path}" for path in (*GETS, *(path for path, _ in POSTS))}


def test_without_a_session_nobody_is_admin_where_only_invited_people_get_in(database: ComparisonDatabase) -> None:
    app = make_app(PoolConfig(database.run_id, TASK, invited_only=True), database.client)
    with TestClient(app, base_url="http://127.0.0.1", headers=HEADERS) as client:
        assert [client.get(f"/api/admin/{path}").status_code for path in GETS] == [401, 401]
        assert client.post("/api/admin/invites", json={}).status_code == 401
    assert overview(signed_in(app, database, "boss", Role.ADMIN))["queue"]["labels"] == 0


@pytest.mark.parametrize(("path", "body"), POSTS)
def test_an_admins_post_is_guarded_as_all_others(admin: TestClient, path: str, body: dict[str, Any]) -> None:
    assert admin.post(f"/api/admin/{path}", json=body, headers={"x-twoclips": "0"}).status_code == 403
    assert admin.post(f"/api/admin/{path}", json=body, headers={"origin": "http://evil.example"}).status_code == 403


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("pauses", {"labeler": "", "paused": True}),
        ("pauses", {"labeler": "a b", "paused": True}),
        ("pauses", {"labeler": "anna"}),
        ("revocations", {"labeler": "*"}),
        ("revocations", {"labeler": "anna", "labels": "too"}),
        ("invites", {"role": "owner"}),
        ("invites", {"labeler": "../anna"}),
        ("invites", {"labeler": "*"}),
        ("gold", {"query": "../q1"}),
        ("gold", {"query": "q1", "marked": "yes"}),
    ],
)
def test_a_body_of_another_form_is_a_bad_request(admin: TestClient, path: str, body: dict[str, Any]) -> None:
    assert admin.post(f"/api/admin/{path}", json=body).status_code == 400


def test_an_admin_marks_a_pair_of_their_own_as_gold(admin: TestClient) -> None:
    body = label(admin)
    marked = admin.post("/api/admin/gold", json={"query": body["query"]})
    assert marked.json() == {"query": body["query"], "marked": True, "num_gold": 1}
    assert overview(admin)["gold_marked"] == 1
    unmarked = admin.post("/api/admin/gold", json={"query": body["query"], "marked": False})
    assert unmarked.json() == {"query": body["query"], "marked": False, "num_gold": 0}
    tie = label(admin, "tie")
    refused = admin.post("/api/admin/gold", json={"query": tie["query"]})
    assert refused.status_code == 409
    assert "left or right" in refused.json()["error"]


def test_it_tells_of_queue_leases_and_pace(app: FastAPI, admin: TestClient, database: ComparisonDatabase) -> None:
    ben = signed_in(app, database, "ben", Role.LABELER)
    for answer in ("left", "left", "tie"):
        label(ben, answer)
    claimed_pair(ben)
    told = overview(admin)
    assert told["queue"] == {
        "waiting": 2, "open": 3, "leased": 1, "labels": 3, "surplus": 0, "retractions": 0, "leases_expired": 0,
    }  # fmt: skip
    assert told["per_minute"] == {"last_1": 3, "last_10": pytest.approx(0.3)}
    [lease] = told["leases"]
    assert lease["labeler"] == "ben"
    assert 0 <= lease["age_s"] < 5
    assert 55 < lease["left_s"] <= 60
    assert "token" not in lease
    ben_row = row(admin, "ben")
    assert (ben_row["answers"], ben_row["median_response_s"], ben_row["leases"]) == (3, EVIDENCE["response_s"], 1)
    assert ben_row["left_share"]["share"] == 1.0
    assert ben_row["left_share"]["low"] == pytest.approx(0.3424, abs=1e-4)  # 2 of 2: z^2 / (n + z^2) below 1
    assert (ben_row["agreement"], ben_row["reliability"]) == (None, None)
    assert told["excluded"] == {"share": None, "usual": 0.0, "alarm": False}
    assert told["use_delay"] == {"p50_s": None, "p95_s": None, "labels": 0, "waiting": 3}


def test_a_lease_grows_old_though_a_heartbeat_extends_it(admin: TestClient, database: ComparisonDatabase) -> None:
    token = new_id()
    admin.post("/api/claims", json={"token": token})
    time.sleep(0.2)
    database.client.zadd(f"{database.prefix}leases", {token: database.now_s() + 5.0})
    admin.post("/api/heartbeats", json={"tokens": [token]})
    [lease] = overview(admin)["leases"]
    assert lease["age_s"] > 0.2
    assert lease["left_s"] > 50
    QueryQueue(database.client, database.run_id).claim("local", token)
    admin.post("/api/withdrawals", json={"token": token})
    assert overview(admin)["leases"] == []
    assert not database.client.exists(f"{database.prefix}leases:begun")


def test_who_holds_pairs_beyond_those_that_are_listed_is_counted_all_the_same(
    admin: TestClient, database: ComparisonDatabase
) -> None:
    offer_pairs(database, 101, seed=1)
    queue = QueryQueue(database.client, database.run_id)
    for _ in range(101):
        assert queue.claim("anna") is not None
    assert queue.claim("ben") is not None
    told = overview(admin)
    assert (len(told["leases"]), told["queue"]["leased"]) == (100, 102)
    assert (row(admin, "anna")["leases"], row(admin, "ben")["leases"]) == (101, 1)


def test_two_who_answer_the_same_pair_agree_or_not(database: ComparisonDatabase) -> None:
    offer_pairs(database, 2, overlap=2)
    app = make_app(PoolConfig(database.run_id, TASK), database.client)
    queue = QueryQueue(database.client, database.run_id)
    for number, answers in enumerate([(Answer.LEFT, Answer.LEFT), (Answer.TIE, Answer.RIGHT)]):
        for name, answer in zip(("anna", "ben"), answers, strict=True):
            lease = queue.claim(name)
            assert lease is not None
            queue.complete(lease, answer, f"{name}-{number}")
    with TestClient(app, base_url="http://127.0.0.1", headers=HEADERS) as admin:
        for name in ("anna", "ben"):
            assert row(admin, name)["agreement"]["share"] == 0.5
            assert not row(admin, name)["has_pages"], "they answered inside the run"


def test_reliability_is_what_the_trainer_told_and_a_jump_of_what_is_excluded_raises_the_alarm(
    admin: TestClient, database: ComparisonDatabase
) -> None:
    label(admin)
    local = {"reliability": 0.9, "low": 0.8, "high": 0.96, "gold_right": 4, "gold_asked": 5, "answers": 1}
    told = {"labelers": {"local": local}, "slope": 1.0}
    for share, usual, alarm in [
        (0.02, 0.0, False),
        (0.3, 0.0, True),
        (0.3, 0.3, True),
        (0.09, 0.03, True),
        (0.09, 0.08, False),
    ]:
        database.set_status(STATUS, {**told, "excluded_share": share, "excluded_usual": usual})
        assert overview(admin)["excluded"] == {"share": share, "usual": usual, "alarm": alarm}


def test_the_time_from_answer_to_snapshot(admin: TestClient, database: ComparisonDatabase) -> None:
    for _ in range(2):
        label(admin)
    cursor = database.labels_since("0-0")[1]
    time.sleep(0.1)
    database.snapshots.put(1, b"model", cursor)
    label(admin)
    told = overview(admin)["use_delay"]
    assert (told["labels"], told["waiting"]) == (2, 1)
    assert 0.1 <= told["p50_s"] <= told["p95_s"] < 5


def test_pausing_one_and_everybody(app: FastAPI, admin: TestClient, database: ComparisonDatabase) -> None:
    ben = signed_in(app, database, "ben", Role.LABELER)
    for name in ("ben", "*"):
        assert admin.post("/api/admin/pauses", json={"labeler": name, "paused": True}).status_code == 200
        assert ben.get("/api/session").json()["paused"]
        assert (row(admin, "ben")["is_paused"], overview(admin)["is_paused"]) == (name == "ben", name == "*")
        assert admin.get("/api/session").json()["paused"] == (name == "*")
        admin.post("/api/admin/pauses", json={"labeler": name, "paused": False})
        assert not ben.get("/api/session").json()["paused"]
    label(ben)


def test_revoking_ends_the_session_and_keeps_the_labels(
    app: FastAPI, admin: TestClient, database: ComparisonDatabase
) -> None:
    ben = signed_in(app, database, "ben", Role.LABELER)
    label(ben)
    assert admin.post("/api/admin/revocations", json={"labeler": "ben"}).json() == {"labeler": "ben"}
    assert ben.get("/api/session").status_code == 401
    assert database.num_labels() == 1
    assert (row(admin, "ben")["is_revoked"], row(admin, "ben")["answers"]) == (True, 1)


def test_who_is_invited_has_a_row_and_can_be_revoked_before_they_come(
    app: FastAPI, admin: TestClient, database: ComparisonDatabase
) -> None:
    invite = admin.post("/api/admin/invites", json={"labeler": "cleo"}).json()["invite"]
    told = row(admin, "cleo")
    assert (told["is_invited"], told["has_pages"], told["answers"]) == (True, True, 0)
    signed_in(app, database, "ben", Role.LABELER)
    admin.post("/api/admin/invites", json={"labeler": "ben"})
    assert not row(admin, "ben")["is_invited"], "they have come already"
    assert admin.post("/api/admin/revocations", json={"labeler": "cleo"}).status_code == 200
    assert row(admin, "cleo")["is_revoked"]
    assert admin.post("/api/sessions", json={"invite": invite}).status_code == 401


def test_nobody_is_locked_out_by_mistake(app: FastAPI, admin: TestClient, database: ComparisonDatabase) -> None:
    boss = signed_in(app, database, "boss", Role.ADMIN)
    assert boss.post("/api/admin/revocations", json={"labeler": "boss"}).status_code == 409
    assert admin.post("/api/admin/revocations", json={"labeler": "local"}).status_code == 409
    assert boss.get("/api/session").json()["role"] == "admin"


@pytest.mark.parametrize("role", ["labeler", "admin"])
def test_an_invite_is_told_once_and_opens_what_its_role_may(app: FastAPI, admin: TestClient, role: str) -> None:
    made = admin.post("/api/admin/invites", json={"role": role, "labeler": "cleo"}).json()
    assert (made["labeler"], made["role"]) == ("cleo", role)
    assert made["invite"] not in json.dumps(overview(admin))
    with TestClient(app, base_url="http://127.0.0.1:8765", headers=HEADERS) as cleo:
        assert cleo.post("/api/sessions", json={"invite": made["invite"]}).json()["role"] == role
        assert cleo.get("/api/admin/overview").status_code == (200 if role == "admin" else 403)


def test_an_invite_for_a_name_that_cannot_come_in_is_refused(admin: TestClient) -> None:
    admin.post("/api/admin/revocations", json={"labeler": "ben"})
    for name in ("ben", "local"):
        assert admin.post("/api/admin/invites", json={"labeler": name}).status_code == 409
    first, second = (admin.post("/api/admin/invites", json={}).json()["labeler"] for _ in range(2))
    assert first != second


def test_an_export_is_the_file_of_the_command(admin: TestClient, database: ComparisonDatabase, tmp_path: Path) -> None:
    assert admin.get("/api/admin/comparisons").text == ""
    taken_back = label(admin)
    label(admin, "tie")
    retraction = {"retraction_id": new_id(), "label_id": taken_back["label_id"]}
    admin.post("/api/retractions", json=retraction)
    reply = admin.get("/api/admin/comparisons")
    assert reply.headers["content-disposition"] == f'attachment; filename="{database.run_id}.jsonl"'
    assert write_rows(tmp_path / "command.jsonl", "jsonl", rows_of(database)) == 3
    assert reply.content == (tmp_path / "command.jsonl").read_bytes()


def test_an_export_leaves_out_a_late_answer_whose_clips_are_gone_and_says_so(
    admin: TestClient, database: ComparisonDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    label(admin)
    queue = QueryQueue(database.client, database.run_id)
    late = queue.claim("anna")
    assert late is not None
    queue.withdraw(late.query_id)
    queue.give_back(late)
    database.client.delete(f"{database.prefix}clip:{late.left}")
    queue.complete(late, Answer.LEFT, "late")
    reply = admin.get("/api/admin/comparisons")
    assert (reply.status_code, reply.text.count("\n")) == (200, 1)
    assert "1 surplus entries of the log were not exported: their clips are gone" in caplog.text


def test_the_page_is_there_for_who_has_yet_to_sign_in_and_tells_nothing(database: ComparisonDatabase) -> None:
    app = make_app(PoolConfig(database.run_id, TASK, invited_only=True), database.client)
    with TestClient(app, base_url="http://127.0.0.1") as client:
        page = client.get("/admin")
        assert page.status_code == 200
        assert database.run_id not in page.text
        assert "script-src 'self'" in page.headers["content-security-policy"]
