"""Who a request comes from: for whom its page was loaded, who signs in and out, and what a lost reply leaves behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from labeling import labelers
from labeling.labelers import LabelerPool, Role
from labeling.server import PoolConfig, make_app
from labeling.sessions import _ASKED_BY_PAGES, SCOPE, cookie_name
from reward_service.client import connect
from reward_service.database import START, ComparisonDatabase
from tests.labeling.faulty_proxy import FaultyProxy
from tests.labeling.pool import HEADERS, TASK, answer_to, claimed_pair, leave_alone, new_id, seen_at

pytestmark = pytest.mark.redis


def test_an_invite_whose_reply_was_lost_is_sent_again_and_lets_in(
    redis_url: str, database: ComparisonDatabase, tmp_path: Path
) -> None:
    """Redis has used it up and begun the session, and the browser was told to send it again."""
    pool = LabelerPool(database.client, database.run_id)
    pool.join(pool.invite("ben"))  # from here on the script is known to Redis
    invite = pool.invite("anna")
    with FaultyProxy(tmp_path / "proxy.sock", Path(redis_url.removeprefix("unix://"))) as proxy:
        app = make_app(PoolConfig(database.run_id, TASK), connect(proxy.url))
        with TestClient(app, base_url="http://127.0.0.1:8765", headers=HEADERS) as client:
            body = {"invite": invite, "join_id": new_id()}
            assert client.get("/api/session").json()["labeler"] == "local"
            proxy.drop_next()
            assert client.post("/api/sessions", json=body).status_code == 503
            assert proxy.dropped == 1
            assert client.post("/api/sessions", json={**body, "join_id": new_id()}).status_code == 401
            assert client.post("/api/sessions", json=body).json()["labeler"] == "anna"
            assert client.get("/api/session").json()["labeler"] == "anna"


@pytest.mark.parametrize("path", ["claims", "answers", "retractions", "heartbeats", "withdrawals"])
@pytest.mark.parametrize("other", ["another-run local", "{run} anna", "another-run", "another-run/local"])
def test_what_a_page_of_another_run_or_labeler_sends_changes_nothing(
    client: TestClient, database: ComparisonDatabase, path: str, other: str
) -> None:
    given, held = answer_to(claimed_pair(client)), claimed_pair(client)
    client.post("/api/answers", json=given)
    bodies: dict[str, Any] = {
        "claims": {"token": new_id()},
        "answers": answer_to(held),
        "retractions": {"retraction_id": new_id(), "label_id": given["label_id"]},
        "heartbeats": {"tokens": [held["token"]]},
        "withdrawals": {"token": held["token"]},
    }
    leases = f"{database.prefix}leases"
    before = database.counts(), database.client.zrange(leases, 0, -1, withscores=True)
    reply = client.post(f"/api/{path}", json=bodies[path], headers={SCOPE: other.format(run=database.run_id)})
    assert reply.status_code == 421
    assert "reload it" in reply.json()["error"]
    assert (database.counts(), database.client.zrange(leases, 0, -1, withscores=True)) == before
    assert len(database.labels_since(START)[0]) == 1
    ours = {SCOPE: f"{database.run_id} local"}
    assert client.post(f"/api/{path}", json=bodies[path], headers=ours).status_code == 200


def test_who_signs_out_on_their_own_machine_is_the_local_person_again(
    client: TestClient, database: ComparisonDatabase
) -> None:
    pool = LabelerPool(database.client, database.run_id)
    client.post("/api/sessions", json={"invite": pool.invite("anna")})
    token = client.cookies[cookie_name(database.run_id)]
    scope = {SCOPE: f"{database.run_id} anna"}
    assert client.post("/api/sessions/end", json={}, headers={SCOPE: f"{database.run_id} ben"}).status_code == 421
    assert client.post("/api/sessions/end", json={}, headers=scope).json() == {"ended": True}
    assert not client.cookies
    assert pool.whois(token) is None, "a copy of the cookie lets nobody in"
    told = client.get("/api/session").json()
    assert (told["labeler"], told["role"]) == ("local", "admin")
    assert client.post("/api/sessions/end", json={}).json() == {"ended": False}


@pytest.mark.parametrize("limit", ["IDLE_S", "ABSOLUTE_S"])
def test_a_session_that_is_over_does_not_lock_the_local_person_out(
    client: TestClient, database: ComparisonDatabase, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    client.post("/api/sessions", json={"invite": LabelerPool(database.client, database.run_id).invite("anna")})
    assert client.get("/api/session").json()["role"] == "labeler"
    monkeypatch.setattr(labelers, limit, -1.0)
    assert client.get("/api/session").json()["role"] == "admin"
    assert client.get("/api/session", headers={"via": "a proxy"}).status_code == 401


def test_where_only_invited_people_label_a_session_that_is_over_lets_nobody_in(database: ComparisonDatabase) -> None:
    invite = LabelerPool(database.client, database.run_id).invite("anna")
    app = make_app(PoolConfig(database.run_id, TASK, invited_only=True), database.client)
    with TestClient(app, base_url="http://127.0.0.1", headers=HEADERS) as client:
        assert client.post("/api/sessions/end", json={}).json() == {"ended": False}
        client.post("/api/sessions", json={"invite": invite})
        assert client.post("/api/sessions/end", json={}).status_code == 200
        assert client.get("/api/session").status_code == 401


def test_an_invite_of_who_was_revoked_is_refused_and_shuts_nobody_out(
    client: TestClient, database: ComparisonDatabase
) -> None:
    pool = LabelerPool(database.client, database.run_id)
    body = {"invite": pool.invite("anna"), "join_id": new_id()}
    pool.revoke("anna")
    for _ in range(2):  # nor when it is sent again
        reply = client.post("/api/sessions", json=body)
        assert (reply.status_code, list(reply.cookies)) == (401, [])
        assert "was revoked" in reply.json()["error"]
    assert client.get("/api/session").json()["labeler"] == "local"


def test_who_was_revoked_can_still_sign_out(client: TestClient, database: ComparisonDatabase) -> None:
    pool = LabelerPool(database.client, database.run_id)
    client.post("/api/sessions", json={"invite": pool.invite("anna")})
    pool.revoke("anna")
    assert client.get("/api/session").status_code == 401
    scope = {SCOPE: f"{database.run_id} anna"}
    assert client.post("/api/sessions/end", json={}, headers=scope).json() == {"ended": True}
    assert not client.cookies
    assert client.get("/api/session").json()["labeler"] == "local"


def test_an_admins_page_of_another_run_steers_nothing(client: TestClient, database: ComparisonDatabase) -> None:
    for scope, status in (("another-run local", 421), (f"{database.run_id} local", 200)):
        pause = {"labeler": "*", "paused": True}
        assert client.post("/api/admin/pauses", json=pause, headers={SCOPE: scope}).status_code == status
        assert client.get("/api/session").json()["paused"] == (status == 200)


def test_whose_page_it_is_is_told_whatever_it_was_loaded_for(client: TestClient) -> None:
    """Otherwise a page that is out of date could not find out for whom to load anew."""
    assert client.get("/api/session", headers={SCOPE: "another-run anna"}).json()["labeler"] == "local"


@pytest.mark.parametrize(
    ("path", "is_seen"),
    [
        ("session", True),
        ("gallery", False),
        ("clips/clip-0-0", False),
        ("clips/unknown", False),
        (f"strips/query/{'0' * 32}", False),
    ],
)
def test_what_an_open_page_asks_by_itself_leaves_its_session_idle(
    client: TestClient, database: ComparisonDatabase, path: str, is_seen: bool
) -> None:
    pool = LabelerPool(database.client, database.run_id)
    client.post("/api/sessions", json={"invite": pool.invite("anna", role=Role.ADMIN)})
    an_hour_ago = leave_alone(database, 3600.0)
    assert client.get(f"/api/{path}").status_code in (200, 404, 410)
    assert (seen_at(database) > an_hour_ago) == is_seen


def test_what_pages_ask_by_themselves_are_routes_that_there_are(client: TestClient) -> None:
    assert set(client.get("/openapi.json").json()["paths"]) >= _ASKED_BY_PAGES
