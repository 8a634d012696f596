"""A run from its folder to its report, and how it ends otherwise."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from cluster.detached import JobError, attach
from cluster.job import main, run_job
from cluster.redis_server import RedisServerError
from cluster.run_folder import RunFolder
from cluster.runner import Interrupted
from tests.cluster.conftest import Done
from tests.cluster.runs import small_config


def test_a_short_run_to_its_end(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run", small_config(labeler="none"))
    assert main([str(folder.path)]) == 0
    assert folder.report_path.exists()
    with pytest.raises(JobError, match="not at work: finished"):
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
    with pytest.raises(SystemExit, match="1"):
        main([str(folder.path)])
    assert capsys.readouterr().err.startswith("stopped before anything new was saved")


def test_ctrl_c_elsewhere_speaks_of_no_resume(twoclips: Callable[..., Done], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cluster.doctor.examine", press_ctrl_c)
    done = twoclips("doctor")
    assert (done.code, done.stderr) == (1, "stopped\n")


def test_why_a_run_failed_stands_in_its_log_though_it_had_a_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise RedisServerError("repair its append-only file")

    folder = RunFolder.create(tmp_path / "run", small_config())
    monkeypatch.setattr("cluster.job.run_training", fails)
    with pytest.raises(RedisServerError):
        run_job(folder, resume=False)
    assert (folder.path / "events.log").read_text().rstrip().endswith("repair its append-only file")
