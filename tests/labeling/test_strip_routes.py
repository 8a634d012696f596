"""Pictures over HTTP: who holds a pair is shown it, nobody else is."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from actors.replay import clip_frames
from actors.tasks import Preset, register
from labeling.desk import is_mirrored
from labeling.labelers import LabelerPool
from labeling.server import PoolConfig, make_app
from reward_service.comparisons import Answer
from reward_service.database import START, ComparisonDatabase
from tests.labeling.paintings import CLIP_STEPS, TASK, dot_clips, dot_task, offer_dots
from tests.labeling.pool import HEADERS, answer_to, claimed_pair, keep_practice

pytestmark = pytest.mark.redis

BASE = "http://127.0.0.1:8765"


@pytest.fixture
def client(database: ComparisonDatabase) -> Iterator[TestClient]:
    offer_dots(database, 4)
    with TestClient(make_app(PoolConfig(database.run_id, TASK), database.client), BASE, headers=HEADERS) as client:
        yield client


def _frame(pair: dict[str, Any], side: str, step: int, data: bytes) -> np.ndarray:
    strip, index = pair["strip"], pair[side]["first_frame"] + step
    x, y = index % strip["columns"] * strip["width"], index // strip["columns"] * strip["height"]
    picture = Image.open(io.BytesIO(data)).convert("RGB")
    return np.asarray(picture.crop((x, y, x + strip["width"], y + strip["height"])), float)


def test_a_pair_comes_as_one_strip_with_each_clip_on_its_side(client: TestClient, database: ComparisonDatabase) -> None:
    session = client.get("/api/session").json()
    assert (session["task"], session["drawable"]) == (TASK, True)
    assert client.get("/api/scene").json()["camera"] is None
    mirrored: set[bool] = set()
    for _ in range(4):
        pair = claimed_pair(client)
        reply = client.get(pair["strip"]["url"])
        assert reply.status_code == 200
        assert reply.headers["content-type"] == "image/webp"
        assert reply.headers["cache-control"] == "no-store"
        assert pair["strip"]["url"].endswith(hashlib.blake2b(reply.content, digest_size=16).hexdigest())
        query = database.get_query(pair["query"])
        assert query is not None
        mirrored.add(is_mirrored(pair["token"]))
        sides = {"left": query.left, "right": query.right}
        if is_mirrored(pair["token"]):
            sides = {"left": query.right, "right": query.left}
        for side, clip_id in sides.items():
            assert (pair[side]["steps"], pair[side]["step_s"]) == (CLIP_STEPS, 1 / 20)
            clip = database.clips.one(clip_id)
            assert clip is not None
            last = Image.fromarray(clip_frames(dot_task(), clip)[-1]).resize((320, 200))
            assert np.abs(_frame(pair, side, CLIP_STEPS - 1, reply.content) - np.asarray(last, float)).mean() < 4.0


def test_only_who_holds_a_pair_is_shown_it_and_only_while_it_is_held(database: ComparisonDatabase) -> None:
    offer_dots(database, 2)
    pool = LabelerPool(database.client, database.run_id)
    app = make_app(PoolConfig(database.run_id, TASK, invited_only=True), database.client)
    with TestClient(app, BASE, headers=HEADERS) as ann, TestClient(app, BASE, headers=HEADERS) as bob:
        for client in (ann, bob):
            assert client.post("/api/sessions", json={"invite": pool.invite()}).status_code == 200
        pair = claimed_pair(ann)
        url = pair["strip"]["url"]
        assert ann.get(url).status_code == 200
        assert bob.get(url).status_code == 410
        assert bob.get(url).json() == {"error": "you do not hold this pair, or no longer: claim another"}
        other = url[:-32] + ("0" * 32)
        assert ann.get(other).status_code == 410
        assert ann.get("/api/strips/..%2F..%2Fetc/" + "0" * 32).status_code in (400, 404)
        assert ann.get(f"/api/strips/{pair['query']}/nonsense").status_code == 400
        assert ann.post("/api/answers", json=answer_to(pair, "left")).status_code == 200
        assert ann.get(url).status_code == 410
    with TestClient(app, BASE, headers=HEADERS) as stranger:
        assert stranger.get(url).status_code == 401


def test_a_server_that_has_drawn_nothing_serves_the_same_picture(
    client: TestClient, database: ComparisonDatabase
) -> None:
    url = claimed_pair(client)["strip"]["url"]
    data = client.get(url).content
    with TestClient(make_app(PoolConfig(database.run_id, TASK), database.client), BASE, headers=HEADERS) as other:
        assert other.get(url).content == data


def test_a_pair_that_is_not_deterministic_is_withdrawn_and_the_next_one_given(database: ComparisonDatabase) -> None:
    wanted, *others = offer_dots(database, 3)
    query = database.get_query(wanted)
    assert query is not None
    clip = database.clips.one(query.left)
    assert clip is not None
    assert clip.origin is not None
    clip.origin.seeds[0] += 1  # another beginning: what is seen then is not what the clip holds
    database.client.delete(f"{database.prefix}clip:{clip.clip_id}")
    assert database.clips.put([clip]) == [True]
    with TestClient(make_app(PoolConfig(database.run_id, TASK), database.client), BASE, headers=HEADERS) as client:
        assert claimed_pair(client)["query"] in others
    assert database.client.hget(f"{database.prefix}query:{wanted}", "state") == b"withdrawn"
    assert database.num_open_queries() == 2


def test_where_nothing_can_be_drawn_pairs_wait_and_nothing_is_withdrawn(database: ComparisonDatabase) -> None:
    offer_dots(database, 2)
    register(TASK, "TwoclipsBroken-v0", Preset(40, CLIP_STEPS))
    try:
        app = make_app(PoolConfig(database.run_id, TASK), database.client)
    finally:
        register(TASK, "TwoclipsDot-v0", Preset(40, CLIP_STEPS))
    with TestClient(app, BASE, headers=HEADERS) as client:
        reply = client.post("/api/claims", json={"token": "t" * 32})
        assert reply.status_code == 503
        assert "log says why" in reply.json()["error"]
    assert database.num_open_queries() == 2


def test_practice_brings_its_pictures_with_it(client: TestClient, database: ComparisonDatabase) -> None:
    keep_practice(database, dot_clips(rollouts=5, seed=3))
    pairs = client.get("/api/practice").json()["pairs"]
    assert len(pairs) == 3
    for pair in pairs:
        kind, _, data = pair["strip"]["url"].partition(",")
        assert kind == "data:image/webp;base64"
        places = {
            side: np.flatnonzero((_frame(pair, side, 9, base64.b64decode(data)) @ [-1, 0, 1] > 80).any(0)).mean()
            for side in ("left", "right")
        }
        assert pair["better"] == max(places, key=lambda side: places[side]), "farther to the right is better"


def test_an_answer_about_pictures_is_in_the_terms_of_the_query(
    client: TestClient, database: ComparisonDatabase
) -> None:
    for _ in range(4):
        pair = claimed_pair(client)
        client.post("/api/answers", json=answer_to(pair, "right" if is_mirrored(pair["token"]) else "left"))
    assert [label.answer for label in database.labels_since(START)[0]] == [Answer.LEFT] * 4
