"""What `twoclips status` says of runs that live, ended, died, or never were."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, cast

import psutil
import pytest

from cluster.redis_care import RedisCare
from cluster.run_folder import RunFolder, RunFolderError
from cluster.run_status import read_status, table_rows
from cluster.status import StatusBoard, StatusFile
from labeling.history import History
from labeling.progress import RUN_STATUS
from reward_service.database import ComparisonDatabase


def told(run: RunFolder, path: Path, **changes: Any) -> RunFolder:
    """A run whose status.json says what this process could have said."""
    path.mkdir()
    (path / "config.toml").write_text((run.path / "config.toml").read_text())
    process = psutil.Process()
    status = {
        "state": "running",
        "process_id": os.getpid(),
        "process_started_s": process.create_time(),
        "updated_at_s": time.time(),
        "metrics": {"agent_steps": 400, "true_return": None, "labels": 7.0, "policy_version": 3.0},
    }
    (path / "status.json").write_text(json.dumps(status | changes))
    return RunFolder.open(path)


def test_a_living_run(finished_run: RunFolder, tmp_path: Path):
    status = read_status(told(finished_run, tmp_path / "run"))
    assert (status["state"], status["process_id"]) == ("running", os.getpid())
    assert status["memory_bytes"] > 10_000_000
    rows = dict(table_rows(status))
    assert rows["agent steps"] == "400 of 1,600"
    assert (rows["labels"], rows["policy version"]) == ("7", "3")
    assert "true return" not in rows, "it has not got one yet"


def test_a_query_in_somebodys_hands_is_not_said_to_wait(finished_run: RunFolder, tmp_path: Path):
    metrics = {"agent_steps": 400, "queries_open": 5.0, "query_age_versions": 2.0}
    rows = dict(table_rows(read_status(told(finished_run, tmp_path / "run", metrics=metrics))))
    assert rows["queries without an answer"] == "5"
    assert rows["age of those that wait, in reward versions"] == "2.0"
    assert "queries waiting" not in rows


def test_a_finished_run(finished_run: RunFolder):
    status = read_status(finished_run)
    assert (status["state"], status["process_id"], status["memory_bytes"]) == ("finished", None, None)
    assert "the newest checkpoint-000000001600" in dict(table_rows(status))["checkpoints"]
    json.dumps(status)


@pytest.mark.parametrize("state", ["stopped", "running"])
def test_a_run_that_ended_early_says_how_to_go_on(finished_run: RunFolder, tmp_path: Path, state: str):
    folder = told(finished_run, tmp_path / "run", state=state, process_id=_ended_process())
    status = read_status(folder)
    assert status["state"] == ("stopped" if state == "stopped" else "died")
    assert f"twoclips train cart-pole --run {folder.path} --resume" in dict(table_rows(status))["state"]


def test_a_reused_process_number_is_not_taken_for_the_run(finished_run: RunFolder, tmp_path: Path):
    assert read_status(told(finished_run, tmp_path / "run", process_started_s=1.0))["state"] == "died"


@pytest.mark.parametrize("text", ["", "{", "[]", "{}"])
def test_a_run_that_said_nothing_sensible(finished_run: RunFolder, tmp_path: Path, text: str):
    folder = told(finished_run, tmp_path / "run")
    (folder.path / "status.json").write_text(text)
    assert read_status(folder)["state"] == "unknown"


def test_warm_up_shows_its_phase(finished_run: RunFolder, tmp_path: Path):
    status = read_status(told(finished_run, tmp_path / "run", metrics={"phase": "warm-up", "environment_steps": 5}))
    assert dict(table_rows(status))["phase"] == "warm-up"


@pytest.mark.redis
def test_the_pages_are_told_of_a_run_and_of_how_it_came_there(finished_run: RunFolder, database: ComparisonDatabase):
    board = StatusBoard(database, finished_run.config, RedisCare("", None, lambda *_: None))
    board({"phase": "warm-up", "environment_steps": 64})
    board({"agent_steps": 400, "true_return": None, "labels": 7.0})
    board({"agent_steps": 800, "true_return": 12.0, "labels": 9.0})
    assert database.status_of(RUN_STATUS)["agent_steps"] == 800
    columns = History(database.client, database.run_id).columns()
    assert (columns["agent_steps"], columns["true_return"], columns["labels"]) == ([400, 800], [None, 12.0], [7.0, 9.0])


@pytest.mark.redis
def test_the_pages_are_told_of_the_end_though_something_was_told_a_moment_ago(
    finished_run: RunFolder, database: ComparisonDatabase, tmp_path: Path
):
    status = StatusFile(
        told(finished_run, tmp_path / "run"),
        StatusBoard(database, finished_run.config, RedisCare("", None, lambda *_: None)),
    )
    show = status.watch(lambda _: None)
    for steps in (400, 800):
        show({"agent_steps": steps, "labels": 7.0})
    assert database.status_of(RUN_STATUS)["agent_steps"] == 400
    status.close({"agent_steps": 1600, "labels": 9.0})
    assert database.status_of(RUN_STATUS)["agent_steps"] == 1600
    columns = History(database.client, database.run_id).columns()
    assert (columns["agent_steps"], columns["labels"]) == ([400, 1600], [7.0, 9.0])


@pytest.mark.redis
def test_a_run_that_ends_before_it_has_figures_takes_none_from_the_pages(
    finished_run: RunFolder, database: ComparisonDatabase, tmp_path: Path
):
    board = StatusBoard(database, finished_run.config, RedisCare("", None, lambda *_: None))
    board({"agent_steps": 400})
    StatusFile(told(finished_run, tmp_path / "run"), board).close({})
    assert database.status_of(RUN_STATUS)["agent_steps"] == 400


@pytest.mark.redis
def test_a_redis_that_does_not_answer_is_left_alone(finished_run: RunFolder, database: ComparisonDatabase):
    class Away:
        is_well = False

    StatusBoard(database, finished_run.config, cast(RedisCare, Away()))({"agent_steps": 400})
    assert database.status_of(RUN_STATUS) == {}


def test_a_folder_without_a_run(tmp_path: Path):
    with pytest.raises(RunFolderError, match="holds no run"):
        RunFolder.open(tmp_path)


def _ended_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_component_is_shown_with_its_memory(finished_run: RunFolder, tmp_path: Path):
    part = {"name": "Redis", "state": "at work", "silent_s": 0.0, "restarts": 1, "why": "it died", "process_id": 1}
    folder = told(finished_run, tmp_path / "run", components=[{**part, "memory_bytes": 8 << 20}])
    assert dict(table_rows(read_status(folder)))["Redis"] == (
        "at work, 8 MiB; started again once, the last time: it died"
    )


def test_the_memory_of_components_is_measured_when_it_is_told(finished_run: RunFolder, tmp_path: Path):
    folder = told(finished_run, tmp_path / "run")
    status = StatusFile(folder)
    status.components = lambda: [{"process_id": os.getpid()}, {"process_id": None}]
    _, (ours, nobodys) = status.latest()
    assert ours["memory_bytes"] > 10_000_000
    assert nobodys["memory_bytes"] is None
