"""The demo's player and its API, without a browser."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from labeling import demo_player
from labeling.demo_config import DemoConfig
from labeling.demo_player import Player
from labeling.demo_server import make_demo_app
from labeling.demo_session import Session
from reward_service.client import connect
from reward_service.database import ComparisonDatabase
from tests.labeling.browsing import until
from tests.labeling.pool import HEADERS

pytestmark = pytest.mark.redis


@pytest.fixture
def player(redis_url: str) -> Iterator[Player]:
    client = connect(redis_url)
    player = Player(client, DemoConfig(seed=2))
    player.start()
    yield player
    player.stop()
    client.close()


@pytest.fixture
def page(player: Player, redis_url: str) -> Iterator[TestClient]:
    client = connect(redis_url)
    with TestClient(make_demo_app(player, client), base_url="http://127.0.0.1", headers=HEADERS) as page:
        yield page
    client.close()


def post(page: TestClient, what: str, **body: Any) -> dict[str, Any]:
    reply = page.post(f"/api/demo/{what}", json=body)
    assert reply.status_code == 200, reply.text
    return reply.json()


def steps(player: Player) -> int:
    return player.state()["worlds"][0]["step"]


def test_what_the_page_plays_is_what_is_played_without_it(
    page: TestClient, player: Player, database: ComparisonDatabase
):
    post(page, "play", playing=True, steps_per_second=0)
    until(lambda: steps(player) >= 150, "150 steps")
    post(page, "play", playing=False)
    told = player.state()["worlds"][0]
    alone = Session(DemoConfig(seed=2), database)
    while alone.num_steps < told["step"]:
        alone.step()
    assert told["rewards"] == [round(float(value), 4) for value in alone.ensemble.rewards]
    assert told["arrows"] == alone.policy.arrows.tolist()
    assert told["labels"] == len(alone.ensemble) >= 15
    assert page.get("/api/demo/curves").json()["worlds"][0]["columns"] == alone.record.columns


def test_one_step_at_a_time_and_a_speed(page: TestClient, player: Player):
    for number in range(1, 4):
        assert post(page, "step")["worlds"][0]["step"] == number
    post(page, "play", playing=True, steps_per_second=20)
    until(lambda: steps(player) >= 13, "half a second of steps")
    assert post(page, "play", playing=False)["worlds"][0]["step"] < 60
    stood = steps(player)
    assert post(page, "change", online=False)["worlds"][0]["online"] is False
    assert steps(player) == stood


def test_once_a_pause_is_acknowledged_nothing_moves_though_a_slice_was_about_to_begin(
    player: Player, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(demo_player, "_SLICE_S", 1.0)
    with player._lock:  # where the thread that saw it play waits
        player.play(True, 0)
        time.sleep(0.1)
        player.play(False)
    time.sleep(0.1)
    assert steps(player) == 0


def test_two_worlds_are_played_in_step(page: TestClient, player: Player):
    told = post(page, "reset", preset="oracle", seed=3, side_by_side=True)
    assert [world["config"]["selection"] for world in told["worlds"]] == ["disagreement", "random"]
    post(page, "play", playing=True, steps_per_second=0)
    until(lambda: steps(player) >= 100, "100 steps")
    told = post(page, "play", playing=False)
    assert told["worlds"][0]["step"] == told["worlds"][1]["step"]
    assert told["worlds"][0]["labels"] == told["worlds"][1]["labels"] >= 10
    assert told["worlds"][0]["rewards"] != told["worlds"][1]["rewards"]
    changed = post(page, "change", selection="random", error_rate=0.2)
    assert [world["config"]["selection"] for world in changed["worlds"]] == ["disagreement", "random"]
    assert [world["config"]["error_rate"] for world in changed["worlds"]] == [0.2, 0.2]


@pytest.mark.parametrize(
    ("what", "body"),
    [
        ("reset", {"preset": "person", "side_by_side": True}),
        ("reset", {"preset": "both"}),
        ("reset", {"preset": "oracle", "members": 8}),
        ("play", {"playing": True, "steps_per_second": -1}),
        ("change", {"labeler": "crowd"}),
        ("change", {"exploration": 0.1}),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_sentence(page: TestClient, what: str, body: dict[str, Any]):
    reply = page.post(f"/api/demo/{what}", json=body)
    assert reply.status_code == 400
    assert len(reply.json()["error"]) > 20


def test_a_form_of_another_site_cannot_play(page: TestClient):
    reply = page.post("/api/demo/step", json={}, headers={"origin": "http://elsewhere.example"})
    assert reply.status_code == 403
    assert page.get("/api/demo/state", headers={"host": "elsewhere.example"}).status_code == 403


def test_a_person_labels_through_the_labeling_api_itself(page: TestClient, player: Player):
    post(page, "reset", preset="person", seed=4)
    post(page, "play", playing=True, steps_per_second=0)
    until(lambda: player.state()["worlds"][0]["waiting"], "the first question")
    assert page.get("/api/session").json()["task"] == "small-world"
    assert page.get("/api/scene").json()["grid"] == {"size": 5, "goal": 18, "home": 0}
    pair = page.post("/api/claims", json={"token": "t" * 32}).json()["pair"]
    for side in ("left", "right"):
        assert len(pair[side]["cells"]) == pair[side]["steps"] == 5
    answer = {"label_id": "l" * 32, "token": "t" * 32, "query": pair["query"], "answer": "left"}
    assert page.post("/api/answers", json={**answer, "evidence": {"response_s": 1.0}}).status_code == 200
    until(lambda: player.state()["worlds"][0]["labels"] == 1, "the answer to be learned from")


def test_what_was_played_before_a_reset_leaves_nothing_behind(page: TestClient, player: Player, redis_url: str):
    post(page, "play", playing=True, steps_per_second=0)
    until(lambda: steps(player) >= 50, "50 steps")
    before = player.run_id
    post(page, "reset", preset="oracle")
    client: Any = connect(redis_url)
    assert client.keys(f"twoclips:{before}:*") == []
    client.close()


def test_it_says_when_the_database_is_gone_and_goes_on_when_it_is_back(player: Player, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(demo_player, "_AFTER_FAILURE_S", 0.05)
    database = player._sessions[0]._database
    working = database._redis
    database._redis = connect("unix:///nowhere/redis.sock")
    player.play(True, 0)
    until(lambda: "does not answer" in player.state()["trouble"], "the trouble to be told")
    database._redis = working
    until(lambda: player.state()["trouble"] == "" and steps(player) > 50, "the demo to go on")


def test_it_ends_by_itself(player: Player, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(demo_player, "LAST_STEP", 30)
    player.play(True, 0)
    until(lambda: not player.state()["playing"], "the end")
    assert steps(player) == 30
