"""What TensorBoard would read of a run: its own format, by its own rules."""

from __future__ import annotations

import json
import math
import socket
import struct
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from tensorboardX.crc32c import crc32c

from cluster.tensorboard import EVERY_S, EventFiles
from cluster.writing import WritingError
from tests.cluster.runs import small_config, train

EVENT: Any = import_module("tensorboardX.proto.event_pb2")
ROW = {"agent_steps": 256, "true_return": -3.5, "kl": math.nan, "predicted_return": None, "labels": 7.0, "epochs": 2.0}


def events_of(path: Path) -> list[Any]:
    """All events of a folder, oldest file first as their names say. Fails where a record is damaged."""
    found: list[Any] = []
    for file in sorted(path.iterdir()):
        assert file.name.startswith("events.out.tfevents.")
        data = file.read_bytes()
        while data:
            (size,) = struct.unpack("<Q", data[:8])
            assert struct.unpack("<I", data[8:12])[0] == _masked(data[:8])
            assert struct.unpack("<I", data[12 + size : 16 + size])[0] == _masked(data[12 : 12 + size])
            found.append(EVENT.Event.FromString(data[12 : 12 + size]))
            data = data[16 + size :]
    return found


def _masked(data: bytes) -> int:
    value = crc32c(data)
    return ((value >> 15 | value << 17) + 0xA282EAD8) & 0xFFFFFFFF


def scalars_of(path: Path) -> dict[int, dict[str, float]]:
    """Tags and values by step, without those that a later beginning takes back."""
    found: dict[int, dict[str, float]] = {}
    for event in events_of(path):
        if event.session_log.status == EVENT.SessionLog.START:
            found = {step: values for step, values in found.items() if step < event.step}
        if event.summary.value:
            found[event.step] = {value.tag: value.simple_value for value in event.summary.value}
    return found


def test_a_row_is_written_with_what_it_has_in_groups(tmp_path: Path) -> None:
    files = EventFiles(tmp_path / "tensorboard")
    files.add(ROW)
    files.flush()
    assert scalars_of(tmp_path / "tensorboard") == {256: {"returns/true_return": -3.5, "labels/labels": 7.0}}


def test_rows_are_thinned_and_the_last_is_there(tmp_path: Path) -> None:
    now = 0.0
    files = EventFiles(tmp_path / "tensorboard", clock=lambda: now)
    for step in range(1, 11):
        files.add({"agent_steps": step, "entropy": step / 2})
        now += EVERY_S / 4
    files.flush()
    assert list(scalars_of(tmp_path / "tensorboard")) == [1, 5, 9, 10]


def test_before_the_first_update_nothing_is_written_and_everything_is_shown(tmp_path: Path) -> None:
    shown: list[dict[str, Any]] = []
    files = EventFiles(tmp_path / "tensorboard")
    record = files.watch(shown.append)
    record({"phase": "warm-up", "environment_steps": 64})
    assert not (tmp_path / "tensorboard").exists()
    record(ROW)
    files.flush()
    assert list(scalars_of(tmp_path / "tensorboard")) == [256]
    assert shown == [{"phase": "warm-up", "environment_steps": 64}, ROW]


def test_what_a_resumed_run_does_again_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, now = tmp_path / "tensorboard", 1_800_000_000.0
    monkeypatch.setattr("time.time", lambda: now)
    monkeypatch.setattr("cluster.tensorboard.EVERY_S", 0.0)
    before = EventFiles(path)
    for step in (100, 200, 300):
        before.add({"agent_steps": step, "entropy": 1.0})
    now += 60
    after = EventFiles(path)
    after.go_on_from(200)
    after.add({"agent_steps": 250, "entropy": 2.0})
    assert {step: values["policy/entropy"] for step, values in scalars_of(path).items()} == {100: 1, 200: 1, 250: 2}


def test_a_full_disk_is_told_and_hangs_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 1_800_000_000.0)
    (tmp_path / f"events.out.tfevents.1800000000.{socket.gethostname()}").symlink_to("/dev/full")
    with pytest.raises(WritingError, match=r"No space left on device\); free some space"):
        EventFiles(tmp_path).add(ROW)


@pytest.mark.redis
def test_a_run_draws_its_figures(tmp_path: Path) -> None:
    """Those apart say where a row stands, are settings as good as, or are told by another figure."""
    train(tmp_path / "run", small_config("pendulum", steps=512))
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    drawn = scalars_of(tmp_path / "run" / "tensorboard")
    assert set(drawn) >= {rows[0]["agent_steps"], rows[-1]["agent_steps"]}
    last = {tag.split("/")[1]: value for tag, value in drawn[rows[-1]["agent_steps"]].items()}
    told = {name: value for name, value in rows[-1].items() if value is not None}
    apart = {"agent_steps", "epochs", "policy_lag_max", "num_left_out", "members_trained", "queries_asked"}
    assert set(told) - set(last) <= apart
    assert last["entropy"] == pytest.approx(told["entropy"])
