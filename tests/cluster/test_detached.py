"""A run that outlives the terminal, found again, ended, and never run twice at once."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from cluster.detached import JobError, attach, detach, stop
from cluster.job import claimed
from cluster.keeper import keeper_process
from cluster.run_folder import RunFolder, RunFolderError
from cluster.run_status import read_status, run_process
from cluster.settings import replaced
from tests.cluster.conftest import Done
from tests.cluster.runs import SMALL, config_of, small_config
from tests.local_run import UNHURRIED
from tests.machine import lives
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
LONG = {**SMALL, "in_process": True, "labeler": "none", "steps": 50_000_000, "loop.checkpoint_steps": 50_000_000}


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Of a run, which ends with the test."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # where the unhurried world is: a detached run does not look around
    path = tmp_path / "run"
    yield path
    for process in (keeper_process(path), run_process(RunFolder.open(path))):
        if process is not None:
            process.kill()


@pytest.fixture
def folder(path: Path) -> RunFolder:
    """Of a run that goes on until it is stopped."""
    return RunFolder.create(path, config_of(UNHURRIED, **LONG))


def test_it_goes_on_by_itself_is_seen_and_stopped_and_can_go_on(twoclips: Callable[..., Done], path: Path) -> None:
    """By the command line, in the folder where it was started."""
    settings = [f"--set={name}={json.dumps(value)}" for name, value in LONG.items() if "." in name]
    options = ["--in-process", "--labeler", "none", "--steps", 50_000_000, *settings]
    done = twoclips("train", UNHURRIED, "--run", "run", "--detach", "--json", *options)
    assert "twoclips attach run" in done.stdout
    process_id = json.loads(done.stdout.splitlines()[-1])["process_id"]
    folder = RunFolder.open(path)
    assert os.getsid(process_id) == process_id  # no terminal ends it
    assert twoclips("status", "run").stdout.splitlines()[1].endswith("running: at work")
    with pytest.raises(RunFolderError, match=r"at work already.*twoclips attach.*twoclips stop"):
        detach(folder, resume=True)
    with pytest.raises(RunFolderError, match="at work already"), claimed(folder):
        pass
    refused = twoclips("train", UNHURRIED, "--run", "run", "--resume", "--steps", 60_000_000)
    assert (refused.code, "at work already" in refused.stderr) == (2, True)
    assert RunFolder.open(path).config.steps == 50_000_000, "its settings were changed under its hands"
    ended: list[str] = []
    watcher = threading.Thread(target=lambda: ended.append(attach(folder)))
    watcher.start()
    wait_until(lambda: bool(read_status(folder)["metrics"].get("agent_steps")))
    assert twoclips("stop", "run").stdout.startswith(f"stopped; go on with `twoclips train {UNHURRIED} --run run --re")
    watcher.join(20)
    assert ended == ["the run is no longer at work: stopped"]
    assert not lives(process_id)
    assert len(list(folder.checkpoints.iterdir())) == 1
    assert "stopping: writing a checkpoint" in (folder.path / "train.log").read_text()
    refused = twoclips("stop", "run")
    assert (refused.code, "nothing to stop" in refused.stderr) == (1, True)


def test_one_whose_last_checkpoint_fails_is_not_said_to_be_stopped_well(folder: RunFolder) -> None:
    folder.checkpoints.rmdir()
    folder.checkpoints.write_text("in the way")
    detach(folder, resume=False)
    wait_until(lambda: bool(read_status(folder)["metrics"].get("agent_steps")))
    with pytest.raises(
        JobError, match=r"ended at [\d,]+ agent steps, saying .*checkpoint.*, and its newest checkpoint is of 0"
    ):
        stop(folder)


def test_one_that_ends_at_its_start_says_why(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run", small_config())
    (folder.path / "config.toml").write_text("steps = 3")
    with pytest.raises(JobError, match=r"saying .twoclips: .*is not a run's configuration"):
        detach(folder, resume=False)


def test_one_that_does_not_end_is_said_with_its_number_and_once_killed_it_is_not_at_work(folder: RunFolder) -> None:
    keeper = psutil.Process(detach(folder, resume=False))
    process = run_process(folder)
    assert process is not None
    process.suspend()
    with pytest.raises(JobError, match=rf"kill -9 {process.pid}.*every label stay"):
        stop(folder, timeout_s=0.3)
    process.kill()
    wait_until(lambda: not lives(keeper.pid))  # it was asked to stop: it starts no other
    with pytest.raises(JobError, match=r"not at work on this machine .died"):
        stop(folder)
    with pytest.raises(JobError, match=r"not at work: died; `twoclips status"):
        attach(folder)
    with claimed(folder):  # its claim has gone with it
        pass


def test_a_driver_that_is_killed_is_started_again_and_goes_on_from_its_checkpoint(folder: RunFolder) -> None:
    folder.change(replaced(folder.config, {"loop.checkpoint_steps": 256}))
    keeper = detach(folder, resume=False)
    wait_until(lambda: bool(list(folder.checkpoints.glob("*.pt"))))
    first = run_process(folder)
    assert first is not None
    assert first.ppid() == keeper
    first.kill()
    ended: list[str] = []
    watcher = threading.Thread(target=lambda: ended.append(attach(folder)))
    watcher.start()
    wait_until(lambda: (again := run_process(folder)) is not None and again.pid != first.pid)
    assert "SIGKILL ended it" in (folder.path / "train.log").read_text()
    wait_until(lambda: "resumed" in folder.events_path.read_text())
    assert stop(folder).startswith("stopped; go on with")
    watcher.join(20)
    assert ended == ["the run is no longer at work: stopped"]
    assert not lives(keeper)


def press_ctrl_c(*_: object) -> None:
    raise KeyboardInterrupt


def test_ctrl_c_while_a_detached_run_starts_leaves_it_alone(
    twoclips: Callable[..., Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cluster.detached._spawn", lambda *_: 0)
    monkeypatch.setattr("cluster.detached._exit_code", press_ctrl_c)
    done = twoclips("train", "pendulum", "--labeler", "none", "--run", "run", "--detach")
    assert (done.code, "the run starts: see it with `twoclips status run`" in done.stderr) == (1, True)
