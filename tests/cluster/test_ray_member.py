"""A rollout worker's process, as whoever asks it for rollouts sees it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from cluster.ray_member import Member
from cluster.supervise import Life, SupervisionConfig


def test_one_that_builds_its_environments_anew_is_not_taken_for_silent() -> None:
    """A checkpoint asks that of every worker; each is then asked for a rollout, for which it lets wait."""
    now_s, restarted = [0.0], []
    actor: Any = SimpleNamespace(restart=SimpleNamespace(remote=restarted.append))
    life = Life("rollout worker 0", SupervisionConfig(), lambda *_: None, lambda: now_s[0])
    member = Member(lambda index, generation: actor, 0, life)
    member.begin(0)
    life.heard(512)
    member.restart(1)
    now_s[0] = 60.0
    assert restarted == [1]
    assert not life.is_stuck
    assert not life.is_silent(3.0)
