"""The logs of a run's folder."""

from __future__ import annotations

import json
import shutil
import tracemalloc
from datetime import datetime
from pathlib import Path

import pytest

from actors.tasks import make_task
from cluster.configure import make_config
from cluster.run_folder import RunFolder
from cluster.writing import WritingError


def test_an_event_is_a_line_for_people_and_one_for_programs_that_says_how_far_the_run_was(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "one", make_config(make_task("cart-pole"), {}))
    folder.log_event("started")
    folder.append_metrics({"agent_steps": 2048, "policy_version": 7.0, "reward_version": 3, "true_return": 1.0})
    folder.log_event("the labeling is started again: it died", "labeling")
    first, second = map(json.loads, (folder.path / "events.jsonl").read_text().splitlines())
    assert (first["run"], first["component"], first["event"]) == (folder.run_id, "run", "started")
    assert (first["agent_steps"], first["policy_version"], first["reward_version"]) == (None, None, None)
    assert (second["component"], second["event"]) == ("labeling", "the labeling is started again: it died")
    assert (second["agent_steps"], second["policy_version"], second["reward_version"]) == (2048, 7.0, 3)
    assert datetime.fromisoformat(second["time"]).utcoffset() is not None
    lines = folder.events_path.read_text().splitlines()
    assert [line.partition(" ")[2] for line in lines] == [first["event"], second["event"]]


def test_metrics_beyond_a_checkpoint_are_cut_with_a_torn_line_and_events_are_stamped_with_what_is_left(
    tmp_path: Path,
) -> None:
    folder = RunFolder.create(tmp_path / "one", make_config(make_task("cart-pole"), {}))
    rows = [{"agent_steps": steps, "policy_version": steps / 10, "reward_version": 1} for steps in (10, 20, 30)]
    for row in rows:
        folder.append_metrics(row)
    with folder.metrics_path.open("a") as file:
        file.write('{"agent_st')
    folder.cut_metrics(20)
    assert folder.metrics_path.read_text() == "".join(json.dumps(row) + "\n" for row in rows[:2])
    folder.log_event("resumed")
    event = json.loads((folder.path / "events.jsonl").read_text())
    assert (event["agent_steps"], event["policy_version"]) == (20, 2.0)
    folder.cut_metrics(0)
    assert folder.read_metrics() == []


def test_metrics_are_cut_without_being_held_in_memory(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "one", make_config(make_task("cart-pole"), {}))
    with folder.metrics_path.open("w") as file:
        file.writelines(json.dumps({"agent_steps": at, "said": "x" * 1000}) + "\n" for at in range(10_000))
    tracemalloc.start()
    folder.cut_metrics(5000)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(folder.read_metrics()) == 5001
    assert peak_bytes < 1_000_000


def test_a_folder_that_was_removed_is_told_and_not_made_anew(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "one", make_config(make_task("cart-pole"), {}))
    shutil.rmtree(folder.path)
    with pytest.raises(WritingError, match="cannot write"):
        folder.append_metrics({"agent_steps": 1})
    assert not folder.path.exists()
