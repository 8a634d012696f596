"""bench --scale measures what it says, and what it gives out adds up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from actors.tasks import make_task
from cluster.bench_crowd import Crowd, measure_crowd
from cluster.bench_memory import measure_memory
from cluster.bench_pool import Delivered, Sleeping, weight_bytes
from cluster.bench_scale import _pool, scale_rows


@pytest.mark.redis
def test_memory_is_that_of_what_was_added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    clip_bytes, comparison_bytes = measure_memory(make_task("half-cheetah"), clips=40, comparisons=200)
    assert 2_000 < clip_bytes < 8_000  # 30 steps of 41 numbers are 4.9 kB before they are compressed
    assert 500 < comparison_bytes < 3_000
    assert list(tmp_path.iterdir()) == []


@pytest.mark.redis
def test_a_small_crowd_on_two_servers_is_answered_at_its_own_pace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("cluster.bench_crowd.EVERY_S", 0.5)
    found = measure_crowd(people=6, servers=2, lasting_s=1.5)
    # three answers each, in the half second before the first is due and the 1.5 s that it lasts
    assert found.per_second == pytest.approx(6 * 3 / 2.0, rel=0.5)
    assert min(found.server_us, found.redis_us, found.people_us, *found.acknowledged_ms) > 0
    assert list(tmp_path.iterdir()) == []


def test_servers_that_a_rate_keeps_busy_follow_from_processor_time() -> None:
    crowd = Crowd(50, 1, 10.0, (1.0, 2.0), server_us=1500.0, redis_us=100.0, people_us=400.0)
    assert crowd.servers_for(2000.0) == 3.0


def test_shares_are_of_as_many_times_one() -> None:
    pool = _pool([Delivered(1, 100.0, 0.001), Delivered(4, 380.0, 0.004)])
    assert [each["share"] for each in pool] == [1.0, 0.95]
    found = {"task": "t", "clip_bytes": 2**20, "comparison_bytes": 1074, "crowds": [], "pools": {"4000000": pool}}
    assert scale_rows(found) == [
        ("1,000 clips in Redis", "1000.0 MiB of t"),
        ("1,000,000 comparisons", "1.00 GiB without their clips"),
        ("1 workers, 4.00 MB", "100 transitions/s, 100% of as many times one; a call without acting 1.0 ms"),
        ("4 workers, 4.00 MB", "380 transitions/s, 95% of as many times one; a call without acting 4.0 ms"),
    ]


def test_a_sleeping_environment_looks_like_half_cheetah_and_never_ends() -> None:
    env = Sleeping(step_s=0.0)
    observation, _ = env.reset(seed=0)
    assert observation.shape == make_task("half-cheetah").observation_shape
    assert env.step(np.zeros(6, np.float32))[1:4] == (0.0, False, False)
    assert weight_bytes((64, 64)) == 4 * (2 * (17 * 64 + 64 + 64 * 64 + 64) + 64 * 6 + 6 + 64 + 1 + 6 + 34)
