from __future__ import annotations

import hashlib
import io
import threading

import numpy as np
import pytest
from PIL import Image

from actors.replay import clip_frames
from actors.trajectory import Clip
from labeling import strips as strips_module
from labeling.queue import QueryQueue
from labeling.strips import StripAhead, Strips
from reward_service.database import ComparisonDatabase
from tests.labeling import paintings
from tests.labeling.paintings import CLIP_STEPS, dot_clips, dot_task, offer_dots
from tests.labeling.pool import damage


@pytest.fixture(name="clips", scope="module")
def _clips() -> list[Clip]:
    return dot_clips()


def test_both_clips_stand_in_one_picture_frame_by_frame(clips: list[Clip]) -> None:
    left, right = clips[:2]
    strip = Strips(dot_task()).of(left, right)
    assert strip.digest == hashlib.blake2b(strip.data, digest_size=16).hexdigest()
    assert strip.first == min(left.clip_id, right.clip_id)
    assert (strip.width, strip.height) == (320, 200), "480 x 300, scaled to 320 px"
    sheet = np.asarray(Image.open(io.BytesIO(strip.data)).convert("RGB"), float)
    ordered = sorted((left, right), key=lambda clip: clip.clip_id)
    frames = [frame for clip in ordered for frame in clip_frames(dot_task(), clip)]
    assert len(frames) == 2 * CLIP_STEPS
    for index, frame in enumerate(frames):
        x, y = index % strip.columns * strip.width, index // strip.columns * strip.height
        shown = sheet[y : y + strip.height, x : x + strip.width]
        expected = np.asarray(Image.fromarray(frame).resize((strip.width, strip.height)), float)
        assert np.abs(shown - expected).mean() < 4.0
        dot = np.flatnonzero((shown[..., 2] - shown[..., 0] > 80).any(0)).mean()
        truth = np.flatnonzero((frame[..., 2] > frame[..., 0]).any(0)).mean() * 320 / 480
        assert dot == pytest.approx(truth, abs=2.0)


def test_a_pair_is_drawn_once_whichever_clip_is_left(clips: list[Clip], monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[list[str]] = []
    draw = strips_module.draw_strip

    def counted(task, pair):
        drawn.append([clip.clip_id for clip in pair])
        return draw(task, pair)

    monkeypatch.setattr(strips_module, "draw_strip", counted)
    strips = Strips(dot_task())
    found: list[str] = []
    sides = [clips[:2], clips[1::-1]] * 4
    threads = [threading.Thread(target=lambda pair=pair: found.append(strips.of(*pair).digest)) for pair in sides]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1
    assert len(drawn) == 1


def test_the_least_recently_used_go_when_the_budget_is_full_and_come_back_the_same(clips: list[Clip]) -> None:
    size = len(Strips(dot_task()).of(*clips[:2]).data)
    strips = Strips(dot_task(), budget_bytes=int(2.5 * size))
    first = strips.of(*clips[0:2])
    strips.of(*clips[2:4])
    strips.of(*clips[0:2])
    strips.of(*clips[4:6])
    kept = [strips.has(clips[at].clip_id, clips[at + 1].clip_id) for at in (0, 2, 4)]
    assert kept == [True, False, True]
    strips.of(*clips[2:4])
    assert not strips.has(clips[0].clip_id, clips[1].clip_id)
    assert strips.of(*clips[0:2]).digest == first.digest


@pytest.mark.redis
def test_ahead_draws_what_is_most_wanted_first(database: ComparisonDatabase) -> None:
    queries = offer_dots(database, 3)
    strips, queue = Strips(dot_task()), QueryQueue(database.client, database.run_id)
    ahead = StripAhead(queue, database, strips)
    sides = database.sides_of(queries)
    for number in range(3):
        assert ahead.step()
        assert [strips.has(*sides[query]) for query in queries] == [n <= number for n in range(3)]
    assert not ahead.step()


@pytest.mark.redis
def test_ahead_withdraws_what_cannot_be_played_again(
    database: ComparisonDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer_dots(database, 2)
    monkeypatch.setattr(paintings, "DRIFTED", [1e-3])
    ahead = StripAhead(QueryQueue(database.client, database.run_id), database, Strips(dot_task()))
    assert ahead.step()
    assert ahead.step()
    assert not ahead.step()
    assert database.num_open_queries() == 0


@pytest.mark.redis
def test_ahead_withdraws_what_cannot_be_read_and_goes_on(database: ComparisonDatabase) -> None:
    queries = offer_dots(database, 2)
    strips = Strips(dot_task())
    sides = database.sides_of(queries)
    damage(database, sides[queries[0]][0])
    ahead = StripAhead(QueryQueue(database.client, database.run_id), database, strips)
    assert ahead.step()
    assert ahead.step()
    assert not ahead.step()
    assert strips.has(*sides[queries[1]])
    assert database.num_open_queries() == 1


@pytest.mark.redis
def test_ahead_stops_when_it_is_told_to(database: ComparisonDatabase) -> None:
    queries = offer_dots(database, 1)
    strips = Strips(dot_task())
    ahead = StripAhead(QueryQueue(database.client, database.run_id), database, strips)
    ahead.start()
    sides = database.sides_of(queries)[queries[0]]
    for _ in range(200):
        if strips.has(*sides):
            break
        threading.Event().wait(0.05)
    assert strips.has(*sides)
    ahead.stop()
    assert not [thread for thread in threading.enumerate() if thread.name == "strips"]
