"""The run page: its API on a real Redis, and the page in a real browser. Set ARTEFACTS to a folder to keep the
screenshots."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable
from typing import Any

import imageio.v3 as imageio
import numpy as np
import pytest
import torch
from starlette.testclient import TestClient

from actors.tasks import make_task
from labeling.gallery import NUM_CLIPS
from labeling.history import History
from labeling.labelers import LabelerPool
from labeling.progress import RUN_STATUS
from labeling.server import PoolConfig, make_app
from reward_service.database import ComparisonDatabase
from reward_service.ensemble import EnsembleConfig, RewardEnsemble
from reward_service.snapshot import RewardSnapshot
from tests.labeling.browsing import AXE, Visit, looks, until
from tests.labeling.paintings import CLIP_STEPS, offer_dots
from tests.labeling.paintings import TASK as PICTURES
from tests.labeling.pool import STEPS, TASK, damage, offer_pairs

pytestmark = pytest.mark.redis
browser_test = pytest.mark.browser

ROUTES = ["history", "gallery", "belief", "clips/clip-0-1"]


def publish(database: ComparisonDatabase, version: int, task_name: str = TASK) -> RewardEnsemble:
    """A reward model that pays 3 +- 1 for a step of the clips that are stored: their agent has learned something."""
    task = make_task(task_name)
    generator = torch.Generator().manual_seed(version)
    ensemble = RewardEnsemble(EnsembleConfig(hidden=(32,)), task.observation_shape, task.action, generator=generator)
    clips = database.clips.get(database.clips.newest(64)).values()
    observations = torch.from_numpy(np.concatenate([clip.segment.observations for clip in clips]))
    std, mean = torch.std_mean(observations, dim=0)
    ensemble.set_input_statistics(mean, std)
    ensemble.set_output_statistics(
        observations, torch.from_numpy(np.concatenate([clip.segment.actions for clip in clips]))
    )
    ensemble.output_mean.sub_(3.0 * ensemble.output_std)
    assert database.snapshots.put(version, RewardSnapshot.capture(ensemble, version).to_bytes())
    return ensemble


def learn(database: ComparisonDatabase, steps: int = 2_000_000) -> None:
    """What a run would have told up to `steps`."""
    history = History(database.client, database.run_id)
    random = np.random.default_rng(0)
    for at in range(0, steps + 1, 20_000):
        share = at / 2_000_000
        metrics = {
            "agent_steps": at,
            "true_return": 4200 * share**0.7 + 150 * random.normal() if at else None,
            "predicted_return": 900 * math.tanh(3 * share) + 30 * random.normal() if at else None,
            "labels": float(min(700, int(175 + 525 * (1 - math.exp(-4 * share))))),
            "validation_accuracy": 0.86 - 0.3 * math.exp(-6 * share) + 0.01 * random.normal(),
            "segment_correlation": 0.93 - 0.6 * math.exp(-5 * share) + 0.02 * random.normal(),
        }
        history.record(metrics)
    told = {"labels_wanted": 700, "labels_due": 640.0, "steps": 2_000_000, "phase": None, "reward_version": 31}
    database.set_status(RUN_STATUS, {**told, **metrics})


@pytest.mark.parametrize("path", ROUTES)
def test_without_a_session_nobody_sees_anything_where_only_invited_people_get_in(
    database: ComparisonDatabase, path: str
) -> None:
    app = make_app(PoolConfig(database.run_id, TASK, invited_only=True), database.client)
    with TestClient(app, base_url="http://127.0.0.1") as client:
        assert client.get(f"/api/{path}").status_code == 401


def test_a_labeler_sees_the_curve_and_neither_clips_nor_what_is_paid_for_them(
    client: TestClient, database: ComparisonDatabase
) -> None:
    invite = LabelerPool(database.client, database.run_id).invite("anna")
    assert client.get("/api/gallery").status_code == 200
    client.post("/api/sessions", json={"invite": invite})
    statuses = [client.get(f"/api/{path}").status_code for path in ROUTES]
    assert statuses == [200, 403, 403, 403]


@pytest.mark.parametrize("clip_id", ["a b", "a%3Ab", "..%2F..%2Fetc%2Fpasswd", "x" * 129, "%00", "*"])
def test_a_clip_id_of_another_form_finds_nothing(client: TestClient, clip_id: str) -> None:
    reply = client.get(f"/api/clips/{clip_id}")
    assert reply.status_code in (400, 404)
    assert "detail" not in reply.json() or reply.json()["detail"] == "Not Found"


def test_a_clip_is_told_as_poses_and_one_that_is_gone_in_a_sentence(client: TestClient) -> None:
    clip = client.get("/api/clips/clip-0-1").json()["clip"]
    assert clip["steps"] == STEPS
    assert len(base64.b64decode(clip["focus"])) == STEPS * 3 * 4
    gone = client.get("/api/clips/clip-9-9")
    assert gone.status_code == 404
    assert "not stored" in gone.json()["error"]


def test_a_clip_that_cannot_be_read_is_missing_from_the_gallery(
    client: TestClient, database: ComparisonDatabase
) -> None:
    publish(database, 1)
    newest = database.clips.newest(NUM_CLIPS)
    damage(database, newest[0])
    shown = [clip["clip_id"] for clip in client.get("/api/gallery").json()["clips"]]
    assert shown == newest[1:]
    assert client.get("/api/belief").status_code == 200


def test_a_clip_of_a_task_that_draws_itself_comes_with_its_pictures(database: ComparisonDatabase) -> None:
    offer_dots(database, 1)
    clip_id = database.clips.newest(1)[0]
    app = make_app(PoolConfig(database.run_id, PICTURES), database.client)
    with TestClient(app, base_url="http://127.0.0.1") as client:
        told = client.get(f"/api/clips/{clip_id}").json()
    assert told["strip"]["url"].startswith("data:image/webp;base64,")
    assert told["clip"] == {"steps": CLIP_STEPS, "step_s": told["clip"]["step_s"], "first_frame": 0}


def test_the_gallery_pays_what_the_newest_snapshots_ensemble_pays(
    client: TestClient, database: ComparisonDatabase
) -> None:
    assert [clip["rewards"] for clip in client.get("/api/gallery").json()["clips"]] == [None] * NUM_CLIPS
    for version in (1, 2):
        ensemble = publish(database, version)
        told = client.get("/api/gallery").json()
        assert told["reward_version"] == version
        assert [clip["clip_id"] for clip in told["clips"]] == database.clips.newest(NUM_CLIPS)
        clips = database.clips.get(database.clips.newest(NUM_CLIPS))
        with torch.no_grad():
            paid = {
                clip_id: ensemble(torch.from_numpy(clip.segment.observations), torch.from_numpy(clip.segment.actions))
                for clip_id, clip in clips.items()
            }
        mean = torch.cat(list(paid.values())).mean()
        assert mean > 1, "all are above what an untrained policy is paid, and half of them below what is shown"
        for shown in told["clips"]:
            assert shown["rewards"] == pytest.approx((paid[shown["clip_id"]] - mean).tolist(), abs=2e-4)


def test_a_snapshot_that_cannot_be_read_leaves_the_clips_without_rewards(
    client: TestClient, database: ComparisonDatabase
) -> None:
    database.snapshots.put(1, b"another twoclips wrote this")
    told = client.get("/api/gallery").json()
    assert (told["reward_version"], told["clips"][0]["rewards"]) == (0, None)
    publish(database, 2)
    assert client.get("/api/gallery").json()["reward_version"] == 2


def painted(page: Visit, index: int) -> int:
    """How many different colours a clip's canvas shows on screen."""
    shot = page.tab.locator("#clips canvas").nth(index).screenshot()
    pixels = imageio.imread(shot, extension=".png").reshape(-1, 3)
    return len(np.unique(pixels, axis=0))


@browser_test
def test_the_curve_is_drawn_from_the_start_and_grows(database: ComparisonDatabase, visit: Callable[..., Visit]) -> None:
    learn(database, 1_000_000)
    page = visit().hurried().look_at("run")
    chart = page.tab.locator("#chart-true .plot svg")
    chart.wait_for()
    assert "at 1,000,000 agent steps" in (chart.get_attribute("aria-label") or "")
    before = len(page.tab.get_attribute("#chart-true path.series", "d") or "")
    assert before > 300
    page.has_said("labels", "0")  # of the log, in which nobody has answered
    learn(database)
    page.context.clock.fast_forward(5000)
    until(lambda: "at 2,000,000" in (chart.get_attribute("aria-label") or ""), "the rest of the curve")
    page.tab.locator("#chart-labels summary").click()
    assert "2,000,000" in page.tab.inner_text("#chart-labels table")
    assert page.tab.is_hidden("#gallery"), "there is no clip yet"


@browser_test
def test_the_gallery_shows_clips_and_what_is_paid_for_them_in_step(
    database: ComparisonDatabase, visit: Callable[..., Visit]
) -> None:
    offer_pairs(database, 4)
    publish(database, 1)
    page = visit(moving=True).look_at("run")
    page.tab.wait_for_selector("#gallery[data-drawn=true]", timeout=20_000)
    page.has_said("gallery-note", "reward model 1")
    assert page.tab.locator("#clips figure").count() == NUM_CLIPS
    cursor = page.tab.locator("#clips .cursor").first
    seen: set[str | None] = set()
    until(lambda: seen.add(cursor.get_attribute("x1")) or len(seen) > 3, "the cursor to move")
    page.tab.get_by_role("button", name="Pause").click()
    page.has_said("play", "Play")
    at = {clip.get_attribute("x1") for clip in page.tab.locator("#clips .cursor").all()}
    assert len(at) == 1, "all clips are at the same step"
    for index in range(NUM_CLIPS):
        assert painted(page, index) > 200, "a blank canvas is one gradient"
    label = page.tab.get_attribute("#clips figure:first-child .strip svg", "aria-label") or ""
    assert f"Predicted reward of {STEPS} steps" in label


@browser_test
def test_a_labeler_sees_curves_and_no_gallery(
    database: ComparisonDatabase, visit: Callable[..., Visit], address: str
) -> None:
    offer_pairs(database, 4)
    learn(database)
    page = visit()
    page.tab.goto(f"{address}run#invite={LabelerPool(database.client, database.run_id).invite('anna')}")
    page.reach(state="live")
    page.tab.locator("#chart-true .plot svg").wait_for()
    assert page.tab.is_hidden("#gallery")
    assert page.tab.is_hidden("#admin-link")


@browser_test
def test_axe_finds_no_serious_violation_and_nothing_scrolls_sideways(
    database: ComparisonDatabase, visit: Callable[..., Visit]
) -> None:
    offer_pairs(database, 4)
    publish(database, 1)
    learn(database)
    page = visit(moving=True)
    page.context.add_init_script(path=AXE)
    page.look_at("run")
    page.tab.wait_for_selector("#gallery[data-drawn=true]", timeout=20_000)
    page.tab.get_by_role("button", name="Pause").click()
    assert list(looks(page, "run")) == ["light", "dark"] * 2


@browser_test
def test_who_prefers_reduced_motion_sees_clips_that_stand_still(
    database: ComparisonDatabase, visit: Callable[..., Visit]
) -> None:
    offer_pairs(database, 4)
    publish(database, 1)
    page = visit(reduced_motion="reduce").look_at("run")
    page.tab.wait_for_selector("#gallery[data-drawn=true]", timeout=20_000)
    page.has_said("play", "Play")
    cursor = page.tab.locator("#clips .cursor").first
    before = cursor.get_attribute("x1")
    page.tab.wait_for_timeout(700)
    assert cursor.get_attribute("x1") == before


def test_the_page_tells_nothing_to_who_has_yet_to_sign_in(database: ComparisonDatabase) -> None:
    app = make_app(PoolConfig(database.run_id, TASK, invited_only=True), database.client)
    with TestClient(app, base_url="http://127.0.0.1") as client:
        page: Any = client.get("/run")
        assert page.status_code == 200
        assert database.run_id not in page.text
