"""A run that outlives the terminal, found again, ended, and never run twice at once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from cluster.job import JobError, attach, claimed, detach, main, run_job, stop
from cluster.keeper import Keeper, keeper_process
from cluster.run_folder import RunFolder, RunFolderError
from cluster.run_status import read_status, run_process
from cluster.runner import Interrupted
from tests.cluster.conftest import Done
from tests.cluster.runs import small_config
from tests.machine import lives
from tests.waiting import wait_until

LONG = {"labeler": "none", "steps": 50_000_000, "loop.checkpoint_steps": 50_000_000}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[RunFolder]:
    folder = RunFolder.create(tmp_path / "run", small_config(**LONG))
    yield folder
    for process in (keeper_process(folder.path), run_process(folder)):
        if process is not None:
            process.kill()


def test_it_goes_on_by_itself_is_seen_and_stopped_and_can_go_on(folder: RunFolder) -> None:
    process_id = detach(folder, resume=False)
    assert os.getsid(process_id) == process_id  # no terminal ends it
    with pytest.raises(RunFolderError, match=r"at work already.*twoclips attach.*twoclips stop"):
        detach(folder, resume=True)
    with pytest.raises(RunFolderError, match="at work already"), claimed(folder):
        pass
    ended: list[str] = []
    watcher = threading.Thread(target=lambda: ended.append(attach(folder)))
    watcher.start()
    wait_until(lambda: bool(read_status(folder)["metrics"].get("agent_steps")))
    assert stop(folder).startswith("stopped; go on with `twoclips train pendulum --run")
    watcher.join(20)
    assert ended == ["the run was stopped"]
    assert not lives(process_id)
    assert len(list(folder.checkpoints.iterdir())) == 1
    assert "stopping: writing a checkpoint" in (folder.path / "train.log").read_text()


def test_one_whose_last_checkpoint_fails_is_not_said_to_be_stopped_well(folder: RunFolder) -> None:
    folder.checkpoints.rmdir()
    folder.checkpoints.write_text("in the way")
    detach(folder, resume=False)
    wait_until(lambda: bool(read_status(folder)["metrics"].get("agent_steps")))
    with pytest.raises(
        JobError, match=r"ended at [\d,]+ agent steps, saying .*checkpoint.*, and its newest checkpoint is of 0"
    ):
        stop(folder)


def test_one_that_ends_at_its_start_says_why(folder: RunFolder) -> None:
    (folder.path / "config.toml").write_text("steps = 3")
    with pytest.raises(JobError, match="is not a run's configuration"):
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
    with pytest.raises(JobError, match=r"not at work on this machine .it died without a word"):
        stop(folder)
    with pytest.raises(JobError, match=r"not at work .it died without a word.*twoclips status"):
        attach(folder)
    with claimed(folder):  # its claim has gone with it
        pass


def test_a_driver_that_is_killed_is_started_again_and_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run", small_config(**LONG | {"loop.checkpoint_steps": 2048}))
    keeper = detach(folder, resume=False)
    try:
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
        assert ended == ["the run was stopped"]
        assert not lives(keeper)
    finally:
        for process in (keeper_process(folder.path), run_process(folder)):
            if process is not None:
                process.kill()


def test_a_driver_that_is_killed_while_it_reads_comparisons_reads_them_again_if_they_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "rows.jsonl"
    file.touch()
    drives: list[list[str]] = []

    class Driver:
        def __init__(self, command: list[str]) -> None:
            drives.append(command[command.index(str(tmp_path)) + 1 :])

        def wait(self) -> int:
            if len(drives) == 2:
                file.unlink()
            return 0 if len(drives) == 3 else -signal.SIGKILL

    monkeypatch.setattr("cluster.keeper.subprocess.Popen", Driver)
    monkeypatch.setattr("cluster.keeper.signal.signal", lambda *_: None)
    assert Keeper(tmp_path, [f"--comparisons={file}"]).run() == 0
    assert drives == [[f"--comparisons={file}"], ["--resume", f"--comparisons={file}"], ["--resume"]]


def test_whoever_keeps_a_run_imports_nothing_heavy() -> None:
    heavy = {"torch", "ray", "numpy", "mujoco"}
    script = f"import sys, cluster.keeper; print({heavy!r} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "set()"


def test_a_short_run_to_its_end(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run", small_config(labeler="none"))
    assert main([str(folder.path)]) == 0
    assert folder.report_path.exists()
    with pytest.raises(JobError, match="is finished"):
        attach(folder)


def press_ctrl_c(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("where", ["cluster.report.write_report", "cluster.runner.StatusFile.close"])
def test_ctrl_c_after_something_was_saved_says_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    folder = RunFolder.create(tmp_path / "run", small_config(labeler="none", steps=256))
    monkeypatch.setattr(where, press_ctrl_c)
    with pytest.raises(Interrupted, match=rf"saved in {folder.path}, and `twoclips train pendulum .* --resume`"):
        run_job(folder, resume=False)
    assert list(folder.checkpoints.iterdir())


def test_ctrl_c_before_training_begins_says_that_nothing_was_saved(
    twoclips: Callable[..., Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cluster.job.run_training", press_ctrl_c)
    done = twoclips("train", "pendulum", "--labeler", "none", "--run", "run")
    assert (done.code, done.stderr.startswith("stopped before anything new was saved")) == (1, True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_detached_run_that_is_asked_to_stop_while_it_starts_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: int
) -> None:
    folder = RunFolder.create(tmp_path / "run", small_config(labeler="none"))
    monkeypatch.setattr("cluster.job.run_training", lambda *_: signal.raise_signal(number))
    assert main([str(folder.path)]) == 1
    assert capsys.readouterr().err.startswith("stopped before anything new was saved")


def test_ctrl_c_while_a_detached_run_starts_leaves_it_alone(
    twoclips: Callable[..., Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cluster.job._spawn", lambda *_: 0)
    monkeypatch.setattr("cluster.job._exit_code", press_ctrl_c)
    done = twoclips("train", "pendulum", "--labeler", "none", "--run", "run", "--detach")
    assert (done.code, "the run starts: see it with `twoclips status run`" in done.stderr) == (1, True)


def test_ctrl_c_elsewhere_speaks_of_no_resume(twoclips: Callable[..., Done], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cluster.doctor.examine", press_ctrl_c)
    done = twoclips("doctor")
    assert (done.code, done.stderr) == (1, "stopped\n")


def test_the_command_line_says_how_to_see_and_end_it(twoclips: Callable[..., Done]) -> None:
    sets = [
        f"{name}={json.dumps(value)}"
        for name, value in {"rollout.num_envs": 4, "rollout.steps": 64, "ppo.minibatch": 64}.items()
    ]
    options = ["--in-process", "--labeler", "none", *(part for each in sets for part in ("--set", each))]
    done = twoclips("train", "pendulum", "--steps", 50_000_000, "--run", "one", "--detach", "--json", *options)
    assert "twoclips attach one" in done.stdout
    told = json.loads(done.stdout.splitlines()[-1])
    assert twoclips("status", "one").stdout.splitlines()[1].endswith("running: at work")
    refused = twoclips("train", "pendulum", "--run", "one", "--resume", "--steps", 60_000_000)
    assert (refused.code, "at work already" in refused.stderr) == (2, True)
    assert RunFolder.open(Path("one")).config.steps == 50_000_000, "its settings were changed under its hands"
    assert twoclips("stop", "one").stdout.startswith("stopped; go on with")
    assert not lives(told["process_id"])
    refused = twoclips("stop", "one")
    assert (refused.code, "nothing to stop" in refused.stderr) == (1, True)
