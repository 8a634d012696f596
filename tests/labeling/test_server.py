"""The API on a real Redis: what a browser asks, what it is told, and what is then in the log."""

from __future__ import annotations

import base64
import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from starlette.requests import Request
from starlette.testclient import TestClient

from labeling.access import MAX_BODY_BYTES
from labeling.labelers import IDLE_S, LabelerPool
from labeling.progress import RUN_STATUS, Progress, read_progress
from labeling.queue import QueryQueue
from labeling.server import PoolConfig, make_app
from labeling.sessions import cookie_name
from reward_service.client import connect
from reward_service.comparisons import Answer
from reward_service.database import START, ComparisonDatabase
from tests.labeling.pool import EVIDENCE, HEADERS, STEPS, TASK, answer_to, claimed_pair, leave_alone, new_id, seen_at

pytestmark = pytest.mark.redis


def test_a_claim_brings_both_clips_as_poses_of_the_scene(client: TestClient) -> None:
    scene = client.get("/api/scene").json()
    pair = claimed_pair(client)
    assert 50 < pair["deadline_s"] <= 60
    for side in ("left", "right"):
        clip = pair[side]
        assert clip["steps"] == STEPS
        assert clip["step_s"] == pytest.approx(0.05)
        positions = np.frombuffer(base64.b64decode(clip["positions"]), "<f4")
        assert positions.size == STEPS * len(scene["geoms"]) * 3
        rotations = np.frombuffer(base64.b64decode(clip["rotations"]), "<f4").reshape(-1, 4)
        assert np.linalg.norm(rotations, axis=1) == pytest.approx(1.0, abs=1e-5)


def test_an_answer_is_in_the_log_before_it_is_acknowledged(client: TestClient, database: ComparisonDatabase) -> None:
    body = answer_to(claimed_pair(client))
    reply = client.post("/api/answers", json=body).json()
    assert (reply["label_id"], reply["surplus"], reply["repeated"]) == (body["label_id"], False, False)
    assert reply["progress"]["labels"] == 1
    labels, _ = database.labels_since(START)
    assert [(label.label_id, label.labeler) for label in labels] == [(body["label_id"], "local")]
    assert EVIDENCE.items() <= json.loads(labels[0].evidence).items()


def test_an_answer_sent_twice_is_one_label(client: TestClient, database: ComparisonDatabase) -> None:
    body = answer_to(claimed_pair(client))
    client.post("/api/answers", json=body)
    again = client.post("/api/answers", json=body)
    assert again.status_code == 200
    assert again.json()["repeated"]
    assert database.num_labels() == 1


def test_another_answer_under_a_used_id_is_refused(client: TestClient, database: ComparisonDatabase) -> None:
    body = answer_to(claimed_pair(client), "left")
    client.post("/api/answers", json=body)
    refused = client.post("/api/answers", json={**body, "answer": "right"})
    assert refused.status_code == 409
    assert "used before" in refused.json()["error"]
    assert database.num_labels() == 1


def test_an_answer_without_a_lease_is_gone(client: TestClient) -> None:
    pair = claimed_pair(client)
    client.post("/api/answers", json=answer_to(pair))
    assert client.post("/api/answers", json=answer_to(pair)).status_code == 410
    foreign = {"token": new_id(), "query": pair["query"]}
    assert client.post("/api/answers", json=answer_to(foreign)).status_code == 410


def test_undo_takes_the_label_back_and_asks_again(client: TestClient, database: ComparisonDatabase) -> None:
    pair = claimed_pair(client)
    body = answer_to(pair)
    client.post("/api/answers", json=body)
    retraction = {"retraction_id": new_id(), "label_id": body["label_id"]}
    reply = client.post("/api/retractions", json=retraction).json()
    assert reply["progress"]["labels"] == 0
    assert client.post("/api/retractions", json=retraction).json()["repeated"]
    assert claimed_pair(client)["query"] == pair["query"]
    labels, _ = database.labels_since(START)
    assert [label.answer for label in labels] == [labels[0].answer, None]
    assert client.post("/api/retractions", json={**retraction, "label_id": new_id()}).status_code in (409, 410)


def test_when_there_is_nothing_to_label_the_page_is_told_how_things_stand(
    client: TestClient, database: ComparisonDatabase
) -> None:
    database.set_status(RUN_STATUS, {"labels_wanted": 700, "labels_due": 175.0, "agent_steps": 4096, "phase": None})
    for _ in range(4):
        assert client.post("/api/answers", json=answer_to(claimed_pair(client))).status_code == 200
    reply = client.post("/api/claims", json={"token": new_id()}).json()
    assert (reply["pair"], reply["holds_most"]) == (None, False)
    progress = reply["progress"]
    assert (progress["labels"], progress["due"], progress["wanted"], progress["open"]) == (4, 175, 700, 0)
    assert progress["agent_steps"] == 4096
    assert progress["updated_s"] < 15


def test_who_holds_as_many_pairs_as_one_may_is_told_so(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labeling.desk.MOST_LEASES", 2)
    pair, _ = claimed_pair(client), claimed_pair(client)
    reply = client.post("/api/claims", json={"token": new_id()}).json()
    assert (reply["pair"], reply["holds_most"]) == (None, True)
    client.post("/api/answers", json=answer_to(pair))
    assert claimed_pair(client)


def test_a_heartbeat_tells_what_is_left_of_each_lease(client: TestClient) -> None:
    pair, unknown = claimed_pair(client), new_id()
    deadlines = client.post("/api/heartbeats", json={"tokens": [pair["token"], unknown]}).json()["deadlines"]
    assert 50 < deadlines[pair["token"]] <= 60
    assert deadlines[unknown] is None


def test_a_pair_that_a_browser_cannot_draw_is_left_for_others_until_a_second_one_cannot(
    client: TestClient, database: ComparisonDatabase
) -> None:
    pair = claimed_pair(client)
    body = {"token": pair["token"], "reason": "no WebGL"}
    assert client.post("/api/withdrawals", json=body).json()["withdrawn"]
    assert not client.post("/api/withdrawals", json=body).json()["withdrawn"]
    assert database.num_open_queries() == 4
    assert pair["query"] not in {claimed_pair(client)["query"] for _ in range(3)}
    client.post("/api/sessions", json={"invite": LabelerPool(database.client, database.run_id).invite("anna")})
    hers = claimed_pair(client)
    assert hers["query"] == pair["query"]
    assert client.post("/api/withdrawals", json={"token": hers["token"]}).json()["withdrawn"]
    assert database.num_open_queries() == 3


def test_a_marked_pair_that_nobody_can_be_shown_is_not_claimed_again_and_again(
    client: TestClient, database: ComparisonDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each labeler has a query of their own about it, which would be made anew for the same token."""
    monkeypatch.setattr("labeling.desk.GOLD_SHARE", 1.0)
    query = database.get_query(claimed_pair(client)["query"])
    assert query is not None
    clip = database.clips.one(query.left)
    assert clip is not None
    database.clips.put([dataclasses.replace(clip, clip_id="stateless", states=clip.states[:, :0])])
    database.offer([dataclasses.replace(query, query_id="undrawable", left="stateless", disagreement=9.0)])
    queue = QueryQueue(database.client, database.run_id)
    lease = queue.claim("boss")
    assert lease is not None
    assert lease.query_id == "undrawable"
    queue.complete(lease, Answer.LEFT, "l1")
    queue.mark_gold("boss", "undrawable")
    shown = {database.get_query(claimed_pair(client)["query"]).left for _ in range(2)}  # type: ignore[union-attr]
    assert "stateless" not in shown
    assert len(shown) == 2


def test_a_clip_without_states_is_withdrawn_and_the_next_pair_shown(
    client: TestClient, database: ComparisonDatabase
) -> None:
    query = database.get_query(claimed_pair(client)["query"])
    assert query is not None
    clip = database.clips.one(query.left)
    assert clip is not None
    stateless = dataclasses.replace(clip, clip_id="stateless", states=clip.states[:, :0])
    database.clips.put([stateless])
    database.offer([dataclasses.replace(query, query_id="undrawable", left="stateless", disagreement=9.0)])
    assert claimed_pair(client)["query"] != "undrawable"
    assert database.client.hget(f"{database.prefix}query:undrawable", "state") == b"withdrawn"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("claims", {"token": "short"}),
        ("claims", {"token": "../" * 10}),
        ("claims", {"token": "a" * 32, "labeler": "somebody else"}),
        ("claims", []),
        ("answers", {"label_id": "a" * 32}),
        ("heartbeats", {"tokens": ["a" * 32] * 9}),
    ],
)
def test_a_body_of_another_form_is_a_bad_request_in_one_sentence(client: TestClient, path: str, body: Any) -> None:
    reply = client.post(f"/api/{path}", json=body)
    assert reply.status_code == 400
    assert list(reply.json()) == ["error"]


@pytest.mark.parametrize("change", [{"answer": "both"}, {"evidence": {"response_s": -1}}, {"labeler": "ben"}])
def test_an_answer_of_another_form_stores_nothing(
    client: TestClient, database: ComparisonDatabase, change: dict[str, Any]
) -> None:
    assert client.post("/api/answers", json={**answer_to(claimed_pair(client)), **change}).status_code == 400
    assert database.num_labels() == 0


def test_a_body_that_is_not_json_is_a_bad_request(client: TestClient) -> None:
    reply = client.post("/api/claims", content=b"{", headers={"content-type": "application/json"})
    assert reply.status_code == 400
    assert reply.json() == {"error": "not a valid request: the body is not JSON"}


def test_while_redis_does_not_answer_the_browser_is_told_to_send_again() -> None:
    app = make_app(PoolConfig("gone", TASK), connect("redis://127.0.0.1:1"))
    with TestClient(app, base_url="http://127.0.0.1", headers=HEADERS) as client:
        reply = client.post("/api/claims", json={"token": new_id()})
    assert reply.status_code == 503
    assert "127.0.0.1:1" not in reply.text
    assert reply.headers["retry-after"] == "1"


def test_the_api_describes_itself(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    assert {"/api/claims", "/api/answers", "/api/retractions", "/api/heartbeats", "/api/session"} <= set(paths)


def test_answers_reach_the_log_in_the_terms_of_the_query(client: TestClient, database: ComparisonDatabase) -> None:
    """Whatever the lot of the sides was: the better clip is the better clip in the log."""
    for _ in range(4):
        pair = claimed_pair(client)
        query = database.get_query(pair["query"])
        assert query is not None
        clip = database.clips.one(query.left)
        assert clip is not None
        first = np.frombuffer(base64.b64decode(pair["left"]["focus"]), "<f4")
        scene_focus = client.app.state.show.pair(clip, clip)["left"]["focus"]  # pyright: ignore[reportAttributeAccessIssue]
        left_is_left = bool(np.array_equal(first, np.frombuffer(base64.b64decode(scene_focus), "<f4")))
        client.post("/api/answers", json=answer_to(pair, "left" if left_is_left else "right"))
    labels, _ = database.labels_since(START)
    assert [label.answer for label in labels] == [Answer.LEFT] * 4


def test_the_server_starts_without_torch() -> None:
    code = "import sys, labeling.serve; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_behind_a_proxy_with_tls_the_pages_answer_to_its_name_and_the_cookie_is_secure(
    database: ComparisonDatabase,
) -> None:
    config = PoolConfig(database.run_id, TASK).reached_at("0.0.0.0").reached_at("label.example.org")
    invite = LabelerPool(database.client, database.run_id).invite("anna")
    app = make_app(config, database.client)
    with TestClient(app, base_url="https://label.example.org", headers=HEADERS) as client:
        assert client.get("/api/session").status_code == 401  # nobody is local here
        reply = client.post("/api/sessions", json={"invite": invite})
        assert reply.status_code == 200
        assert "secure" in reply.headers["set-cookie"].lower()
        assert client.get("/api/session").json()["labeler"] == "anna"


def test_an_invite_makes_a_labeler_whose_answers_carry_the_sessions_name(
    client: TestClient, database: ComparisonDatabase
) -> None:
    invite = LabelerPool(database.client, database.run_id).invite("anna")
    reply = client.post("/api/sessions", json={"invite": invite})
    assert reply.json() == {"labeler": "anna", "role": "labeler"}
    cookie = reply.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert "secure" not in cookie
    assert client.get("/api/session").json()["labeler"] == "anna"
    client.post("/api/answers", json=answer_to(claimed_pair(client)))
    assert [label.labeler for label in database.labels_since(START)[0]] == ["anna"]
    assert client.post("/api/sessions", json={"invite": invite}).status_code == 401


def test_a_paused_labeler_is_given_nothing_keeps_what_it_held_and_goes_on(
    client: TestClient, database: ComparisonDatabase
) -> None:
    pool, held = LabelerPool(database.client, database.run_id), claimed_pair(client)
    pool.pause("local")
    assert client.post("/api/claims", json={"token": new_id()}).json()["pair"] is None
    assert client.get("/api/session").json()["paused"]
    assert client.post("/api/answers", json=answer_to(held)).status_code == 200
    assert database.num_labels() == 1
    pool.pause("local", False)
    assert claimed_pair(client)["query"] != held["query"]


def test_a_request_that_a_proxy_passed_on_is_not_the_local_persons(client: TestClient) -> None:
    for header in ("Forwarded", "Via", "X-Forwarded-For", "X-Real-IP"):
        assert client.get("/api/session", headers={header: "203.0.113.7"}).status_code == 401


def test_under_another_name_only_invited_people_get_in(database: ComparisonDatabase) -> None:
    config = PoolConfig(database.run_id, TASK)
    assert config.reached_at("localhost") == config
    app = make_app(config.reached_at("lab.example"), database.client)
    with TestClient(app, base_url="http://lab.example:8765", headers=HEADERS) as client:
        assert client.get("/api/session").status_code == 401
        invite = LabelerPool(database.client, database.run_id).invite("anna")
        assert client.post("/api/sessions", json={"invite": invite}).status_code == 200
        assert client.get("/api/session").json()["labeler"] == "anna"


def test_a_revoked_labeler_does_not_go_on_as_the_local_one(client: TestClient, database: ComparisonDatabase) -> None:
    pool = LabelerPool(database.client, database.run_id)
    client.post("/api/sessions", json={"invite": pool.invite("anna")})
    pool.revoke("anna")
    reply = client.post("/api/claims", json={"token": new_id()})
    assert reply.status_code == 401
    assert "invite" in reply.json()["error"]


@pytest.mark.parametrize("path", ["session", "scene", "practice", "events"])
def test_where_only_invited_people_label_nobody_else_sees_anything(database: ComparisonDatabase, path: str) -> None:
    app = make_app(PoolConfig(database.run_id, TASK, invited_only=True), database.client)
    with TestClient(app, base_url="http://127.0.0.1", headers=HEADERS) as client:
        assert client.get(f"/api/{path}").status_code == 401
        assert client.post("/api/claims", json={"token": new_id()}).status_code == 401


def test_a_session_of_another_run_does_not_lock_the_local_labeler_out(
    client: TestClient, database: ComparisonDatabase
) -> None:
    other = LabelerPool(database.client, "another-run")
    client.cookies.set(cookie_name("another-run"), other.join(other.invite("anna")))
    assert client.get("/api/session").json()["labeler"] == "local"


@pytest.mark.parametrize("path", ["claims", "answers", "retractions", "heartbeats", "withdrawals", "sessions"])
def test_a_body_that_is_too_large_is_refused_and_stores_nothing(
    client: TestClient, database: ComparisonDatabase, path: str
) -> None:
    reply = client.post(f"/api/{path}", json={**answer_to(claimed_pair(client)), "more": "x" * MAX_BODY_BYTES})
    assert reply.status_code == 413
    assert list(reply.json()) == ["error"]
    assert database.num_labels() == 0


def test_what_is_not_there_is_told_in_one_sentence(client: TestClient) -> None:
    reply = client.get("/api/nothing")
    assert (reply.status_code, list(reply.json())) == (404, ["error"])


def test_a_label_that_is_unknown_or_somebody_elses_cannot_be_taken_back(
    client: TestClient, database: ComparisonDatabase
) -> None:
    queue = QueryQueue(database.client, database.run_id)
    lease = queue.claim("anna")
    assert lease is not None
    queue.complete(lease, Answer.LEFT, "annas-label-0001")
    for label_id in (new_id(), "annas-label-0001"):
        reply = client.post("/api/retractions", json={"retraction_id": new_id(), "label_id": label_id})
        assert reply.status_code == 410
    assert database.num_labels() == 1


def test_who_is_revoked_between_claim_and_answer_labels_no_more(
    client: TestClient, database: ComparisonDatabase
) -> None:
    pool = LabelerPool(database.client, database.run_id)
    client.post("/api/sessions", json={"invite": pool.invite("anna")})
    first, second = claimed_pair(client), claimed_pair(client)
    assert client.post("/api/answers", json=answer_to(first)).status_code == 200
    pool.revoke("anna")
    assert client.post("/api/answers", json=answer_to(second)).status_code == 401
    assert [label.labeler for label in database.labels_since(START)[0]] == ["anna"]


def test_two_tabs_of_one_person_hold_different_pairs_and_answer_each_once(
    client: TestClient, database: ComparisonDatabase
) -> None:
    one, other = claimed_pair(client), claimed_pair(client)
    assert one["query"] != other["query"]
    assert client.post("/api/answers", json=answer_to(one)).status_code == 200
    assert client.post("/api/answers", json=answer_to(other)).status_code == 200
    assert client.post("/api/answers", json=answer_to(one)).status_code == 410  # the other tab had the same pair, too
    assert len(database.labels_since(START)[0]) == database.num_labels() == 2


@pytest.mark.parametrize("deadline_s", [1.0, 1e12])
def test_a_clock_that_jumped_loses_no_answer_and_the_next_heartbeat_puts_the_deadline_right(
    client: TestClient, database: ComparisonDatabase, deadline_s: float
) -> None:
    """Deadlines are the database's time: its clock has jumped forwards past the deadline, or far back before it."""
    leases, first, second = f"{database.prefix}leases", claimed_pair(client), claimed_pair(client)
    database.client.zadd(leases, {first["token"]: deadline_s, second["token"]: deadline_s})
    told = client.post("/api/heartbeats", json={"tokens": [first["token"]]}).json()["deadlines"]
    assert 50 < told[first["token"]] <= 60
    for pair in (first, second):
        assert not client.post("/api/answers", json=answer_to(pair)).json()["surplus"]
    assert database.num_labels() == 2


def test_answers_of_many_at_once_are_each_stored_and_each_told_their_own_fate(
    client: TestClient, database: ComparisonDatabase
) -> None:
    """They share a round trip: one that is refused harms none of the others."""
    first, second, third = (answer_to(claimed_pair(client)) for _ in range(3))
    bodies = [
        first,
        {**second, "token": new_id(), "label_id": new_id()},
        first,
        {**first, "answer": "tie"},
        third,
        second,
    ]
    with ThreadPoolExecutor(len(bodies)) as threads:
        replies = list(threads.map(lambda body: client.post("/api/answers", json=body), bodies))
    statuses = [reply.status_code for reply in replies]
    same_id = statuses[0], statuses[2], statuses[3]  # whichever answer came first under it is the one that stands
    assert same_id in ((200, 200, 409), (409, 409, 200))
    assert [statuses[1], statuses[4], statuses[5]] == [410, 200, 200]
    for reply, body in zip(replies, bodies, strict=True):
        assert reply.status_code != 200 or reply.json()["label_id"] == body["label_id"]
    assert database.num_labels() == 3


@pytest.mark.parametrize("path", ["/", "/admin", "/run"])
def test_a_page_may_be_asked_for_without_its_body(client: TestClient, path: str) -> None:
    reply = client.head(path)
    assert reply.status_code == 200
    assert int(reply.headers["content-length"]) == len(client.get(path).content)
    assert reply.content == b""


@pytest.mark.parametrize("invited_only", [True, False])
@pytest.mark.parametrize("end", ["signed out", "idle", "revoked"])
def test_a_live_stream_ends_with_its_session_and_does_not_keep_it(
    database: ComparisonDatabase, monkeypatch: pytest.MonkeyPatch, end: str, invited_only: bool
) -> None:
    """Where others than invited people get in, who has no session any more is the local person."""
    pool, turns = LabelerPool(database.client, database.run_id), 0
    app = make_app(PoolConfig(database.run_id, TASK, invited_only=invited_only), database.client)

    def progress(database: ComparisonDatabase) -> Progress:
        nonlocal turns
        turns += 1
        assert turns <= 2, "the stream has outlived its session"
        assert seen_at(database) == an_hour_ago
        if turns == 2:
            ends[end]()
        return read_progress(database)

    with TestClient(app, base_url="http://127.0.0.1", headers=HEADERS) as client:
        client.post("/api/sessions", json={"invite": pool.invite("anna")})
        token = client.cookies[cookie_name(database.run_id)]
        ends: dict[str, Callable[[], object]] = {
            "signed out": lambda: pool.end(token),
            "idle": lambda: leave_alone(database, IDLE_S + 60.0),
            "revoked": lambda: pool.revoke("anna"),
        }
        an_hour_ago = leave_alone(database, 3600.0)
        monkeypatch.setattr("labeling.server.read_progress", progress)
        monkeypatch.setattr("labeling.server.EVENTS_EVERY_S", 0.0)
        assert client.get("/api/events").text.count("event: progress") == 2


def test_the_local_persons_live_stream_goes_on_until_the_page_goes(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns = iter([False] * 3 + [True])

    async def has_gone(_: Request) -> bool:
        return next(turns)

    monkeypatch.setattr(Request, "is_disconnected", has_gone)
    monkeypatch.setattr("labeling.server.EVENTS_EVERY_S", 0.0)
    assert client.get("/api/events").text.count("event: progress") == 3
