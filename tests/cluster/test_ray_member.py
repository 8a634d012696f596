"""A worker that builds its environments anew, with a rollout in hand when it is asked to."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from cluster import ray_member
from cluster.ray_member import Member
from cluster.supervise import Life, SupervisionConfig


class Process:
    """Of a worker: `done` steps so far, and calls that are done as soon as they are made, but those of `under_way`."""

    def __init__(self) -> None:
        self.done, self.under_way = 0, set[str]()

        def pulse() -> tuple[int, str, int]:
            return self.done, "here", 1

        self.pulse = SimpleNamespace(options=lambda **_: SimpleNamespace(remote=pulse))
        self.restart = SimpleNamespace(remote=lambda generation: f"restart {generation}")


def test_the_end_of_the_rollout_in_hand_does_not_say_that_it_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    process, now_s = Process(), [0.0]
    monkeypatch.setattr(ray_member, "is_done", lambda call: call not in process.under_way)
    monkeypatch.setattr(ray_member.ray, "get", lambda answer: answer)
    life = Life("rollout worker 0", SupervisionConfig(), lambda *_: None, lambda: now_s[0])
    member = Member(lambda *_: process, 0, life)
    member.begin(0)

    def felt_with(done: int, at_s: float) -> None:
        process.done, now_s[0] = done, at_s
        member.feel()
        member.feel()  # the first may have taken what was told before

    felt_with(512, 1.0)
    process.under_way.add("restart 1")
    member.restart(1)
    felt_with(1024, 3.0)
    assert life.silent_s == 0, "it is alive"
    felt_with(1024, 100.0)
    assert not life.is_stuck
    assert not life.is_silent(3.0)
    process.under_way.clear()
    felt_with(1, 101.0)
    felt_with(1, 122.0)
    assert life.is_silent(3.0)
    assert life.is_stuck
