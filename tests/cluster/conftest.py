"""One small finished run for all tests of what is done with a run afterwards, and a way to call the command line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from actors.tasks import make_task
from cluster.cli import app
from cluster.configure import make_config
from cluster.run_folder import RunFolder
from cluster.runner import run_training

SMALL: dict[str, Any] = {
    "in_process": True,
    "steps": 1600,
    "labels": 20,
    "workers": 1,
    "clip_steps": 10,
    "rollout.num_envs": 4,
    "rollout.steps": 100,
    "ppo.minibatch": 100,
    "loop.warmup_steps": 800,
    "loop.pretrain_steps": 20,
    "loop.device": "cpu",
}


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    stdout: str
    stderr: str


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run of cart-pole with 20 synthetic labels. Not to be changed."""
    return _train(tmp_path_factory.mktemp("runs") / "small", SMALL)


@pytest.fixture(scope="session")
def baseline_run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """The same with `--labeler none`."""
    return _train(tmp_path_factory.mktemp("runs") / "baseline", {**SMALL, "labeler": "none"})


def _train(path: Path, settings: dict[str, Any]) -> RunFolder:
    folder = RunFolder.create(path, make_config(make_task("cart-pole"), settings))
    run_training(folder, False, lambda _: None, lambda _: None)
    return folder


@pytest.fixture
def twoclips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Done]:
    """Runs the command in an empty folder, as a user would; in this process, since torch takes seconds to import.
    An exception that is no exit comes through: a user would see its traceback."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object) -> Done:
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Done(result.exit_code, result.stdout, result.stderr)

    return call
