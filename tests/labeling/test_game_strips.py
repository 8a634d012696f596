"""What people are shown of a game is what its screen showed: in colour, in full size, frame for frame."""

from __future__ import annotations

import io
import secrets

import numpy as np
import pytest
import torch
from PIL import Image
from starlette.testclient import TestClient

from actors.clips import cut_clips
from actors.policy import ActorCritic, PolicyConfig
from actors.replay import clip_frames
from actors.rollout import RolloutConfig, RolloutWorker
from actors.tasks import make_task
from actors.trajectory import Clip
from labeling import strips as strips_module
from labeling.desk import is_mirrored
from labeling.server import PoolConfig, make_app
from labeling.strips import Strips
from reward_service.comparisons import Query
from reward_service.database import ComparisonDatabase
from tests.labeling.paintings import dot_clips, dot_task
from tests.labeling.pool import HEADERS

CLIP_STEPS = 7
POLICY = PolicyConfig(torso="mnih-2013")
SCREEN = (210, 160, 3)


def game_clips(name: str, count: int) -> list[Clip]:
    task = make_task(name)
    torch.manual_seed(0)
    worker = RolloutWorker(task, POLICY, RolloutConfig(2, 40), worker=0, seed=1)
    weights = ActorCritic(POLICY, task.observation_shape, task.action).export(0)
    return cut_clips(*worker.step(weights), CLIP_STEPS, task.action)[:count]


def cells(data: bytes, columns: int, width: int, height: int) -> list[np.ndarray]:
    """The frames of a sheet in reading order."""
    sheet = np.asarray(Image.open(io.BytesIO(data)))
    assert sheet.shape[2] == 3
    rows = sheet.shape[0] // height
    return [
        sheet[y : y + height, x : x + width]
        for y in range(0, rows * height, height)
        for x in range(0, columns * width, width)
    ]


def is_lossless(data: bytes) -> bool:
    """By the name of a WebP file's first chunk."""
    return {b"VP8L": True, b"VP8 ": False}[data[12:16]]


@pytest.mark.parametrize("limit_px", [strips_module.MAX_SIDE_PX, 100])
@pytest.mark.parametrize("name", ["pong", "qbert"])
def test_a_games_strip_is_its_frames_pixel_for_pixel_however_large(
    name: str, limit_px: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strips_module, "MAX_SIDE_PX", limit_px)  # that of other tasks' frames
    task, clips = make_task(name), game_clips(name, 2)
    strip = Strips(task).of(*clips)
    frames = [frame for clip in sorted(clips, key=lambda clip: clip.clip_id) for frame in clip_frames(task, clip)]
    assert (strip.height, strip.width) == SCREEN[:2]
    shown = cells(strip.data, strip.columns, strip.width, strip.height)
    assert len(shown) >= len(frames) == 2 * CLIP_STEPS
    assert any(not np.array_equal(frames[0], frame) for frame in frames)
    for step, frame in enumerate(frames):
        np.testing.assert_array_equal(shown[step], frame, err_msg=f"frame {step}")
    assert is_lossless(strip.data)


def test_the_strip_of_another_task_may_lose_what_nobody_sees() -> None:
    assert not is_lossless(Strips(dot_task()).of(*dot_clips()[:2]).data)


@pytest.mark.redis
def test_who_holds_a_pair_of_a_game_is_shown_the_screens_of_that_pair(database: ComparisonDatabase) -> None:
    task, clips = make_task("qbert"), game_clips("qbert", 8)
    assert all(database.clips.put(clips))
    queries = [
        Query(f"{index:032x}", left.clip_id, right.clip_id, 1.0 - index / 4, 1, 0.0)
        for index, (left, right) in enumerate(zip(clips[::2], clips[1::2], strict=True))
    ]
    assert all(database.offer(queries))
    app = make_app(PoolConfig(database.run_id, "qbert"), database.client)
    mirrored: set[bool] = set()
    with TestClient(app, "http://127.0.0.1:8765", headers=HEADERS) as client:
        for query in queries:  # the most wanted first
            token = next(
                token for token in iter(lambda: secrets.token_hex(16), "") if is_mirrored(token) not in mirrored
            )
            mirrored = {is_mirrored(token)}
            pair = client.post("/api/claims", json={"token": token}).json()["pair"]
            assert pair["query"] == query.query_id
            strip = pair["strip"]
            shown = cells(client.get(strip["url"]).content, *(strip[key] for key in ("columns", "width", "height")))
            ids = [query.right, query.left] if is_mirrored(token) else [query.left, query.right]
            for side, clip_id in zip(("left", "right"), ids, strict=True):
                clip = next(each for each in clips if each.clip_id == clip_id)
                assert (pair[side]["steps"], pair[side]["step_s"]) == (CLIP_STEPS, 4 / 60)
                first = pair[side]["first_frame"]
                np.testing.assert_array_equal(np.stack(shown[first : first + CLIP_STEPS]), clip_frames(task, clip))
