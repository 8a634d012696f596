"""`twoclips settings` and `tasks TASK`: what a run can be told, and what a task brings along."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from typing import Any

import pytest

from cluster.config import RunConfig
from cluster.configure import make_config
from cluster.setting_list import meanings, settings_of
from cluster.settings import parse_settings

Call = Callable[..., Any]


def test_every_setting_has_a_meaning():
    told = settings_of(RunConfig(task="cart-pole"))
    assert len(told) > 90
    assert [name for name, said in told.items() if len(said["meaning"]) < 10] == []


def test_meanings_are_read_from_the_docstrings_of_a_record_and_of_what_it_extends():
    @dataclasses.dataclass
    class Base:
        """Of old.

        width   how wide
                at the foot
        height  how high; width, too, is said above
        """

        width: int = 1
        height: int = 2

    @dataclasses.dataclass
    class Wider(Base):
        """height       how high now
        left, right  of both sides

        depth is not told of here.
        """

        left: int = 0
        right: int = 0
        depth: int = 0

    told = {
        "width": "how wide at the foot",
        "height": "how high now",
        "left": "of both sides",
        "right": "of both sides",
    }
    assert meanings(Wider) == told


def test_what_is_printed_can_be_set(twoclips: Call, monkeypatch: pytest.MonkeyPatch):
    done = twoclips("settings", "--task", "pong", "--algorithm", "a2c")
    assert done.code == 0, done.stderr
    pairs = [line.replace(" = ", "=") for line in done.stdout.splitlines() if " = " in line and line[0] != " "]
    assert "rollout.steps=5" in pairs
    assert "oracle.beta=inf" in pairs
    from actors.tasks import make_task

    pong = make_task("pong")
    assert make_config(pong, {"algorithm": "a2c", **parse_settings(pairs)}) == make_config(pong, {"algorithm": "a2c"})


def test_one_section_alone(twoclips: Call):
    done = twoclips("settings", "oracle", "--json")
    found = json.loads(done.stdout)
    assert {name.partition(".")[0] for name in found} == {"oracle"}
    assert float(found["oracle.beta"]) == math.inf
    wrong = twoclips("settings", "nope")
    assert wrong.code == 2
    assert "there is no section nope of settings; they are rollout, policy" in wrong.stderr


def test_one_task_says_what_its_preset_changes(twoclips: Call):
    done = twoclips("tasks", "enduro-level")
    for part in ("level_share", "Drive level", '  reward.normalisation            "anchored"', "with --algorithm a2c"):
        assert part in done.stdout
    assert "changes nothing" in twoclips("tasks", "cart-pole").stdout
    told = json.loads(twoclips("tasks", "pong", "--json").stdout)
    assert told["by_algorithm"]["a2c"]["rollout.steps"] == 5
    assert twoclips("tasks", "pongo").code == 2
