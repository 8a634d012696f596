"""The benchmark of the labeling server answers, is answered, and checks that all of it was stored."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster import bench_answers

pytestmark = pytest.mark.redis


def test_a_small_round_of_it_measures_everything_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    small = {"PEOPLE": 3, "ANSWERS": 4, "ROUNDS": 2, "PACE_S": (0.05, 0.1), "PACED_S": 1.0}
    for name, value in small.items():
        monkeypatch.setattr(bench_answers, name, value)
    found = bench_answers.measure_answers()
    assert found.paced >= 3
    assert min(found.per_second, found.turned_away, found.paced_ms, found.rushed_ms, found.generator_us) > 0
    assert list(tmp_path.iterdir()) == []
