"""The command line as a user meets it: fast help, plain sentences, exit codes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from cluster.run_folder import RunFolder

Call = Callable[..., Any]
ROOT = Path(__file__).resolve().parents[2]

COMMANDS = ("tasks", "settings", "train", "status", "report", "evaluate", "export", "import", "doctor", "bench")
COMMANDS += ("label", "demo", "attach", "stop")


def ends_with_one_sentence(done: Any, code: int) -> str:
    """The last line of standard error, having checked that nothing else went wrong."""
    assert done.code == code, done.stderr
    assert "Traceback" not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("twoclips: ")
    return last


HELPED = """
import contextlib, io, json, os, sys, time
from cluster.cli import main
begun_s = time.process_time()  # a child's clock begins at 0
for command in json.loads(sys.argv[1]):
    if os.fork() == 0:
        sys.argv = ["twoclips", *command, "--help"]
        text = io.StringIO()
        with contextlib.suppress(SystemExit), contextlib.redirect_stdout(text):
            main()
        heavy = [name for name in ("torch", "ray", "mujoco", "matplotlib", "numpy") if name in sys.modules]
        told = {"s": begun_s + time.process_time(), "heavy": heavy, "text": text.getvalue()}
        print(json.dumps([command, told]), flush=True)
        os._exit(0)
    os.wait()
"""


def test_help_is_fast_and_needs_no_torch():
    """Each command's in a process of its own; all of these come from one, which has only read the command line."""
    commands = [[], *([name] for name in COMMANDS)]
    script = [sys.executable, "-c", HELPED, json.dumps(commands)]
    done = subprocess.run(script, capture_output=True, text=True, timeout=60, check=True)
    helped = [json.loads(line) for line in done.stdout.splitlines()]
    assert [command for command, _ in helped] == commands, done.stderr
    assert [command for command, told in helped if told["heavy"]] == []
    assert [(command, told["s"]) for command, told in helped if told["s"] > 0.5] == []
    says = ["preferences" if not command else "Example: twoclips" for command in commands]
    lacking = [command for (command, told), text in zip(helped, says, strict=True) if text not in told["text"]]
    assert lacking == []


def test_numpy_and_torch_are_told_how_to_use_threads_before_they_are_imported():
    script = (
        "import contextlib, os, sys\n"
        "from cluster.cli import main\n"
        "assert not {'numpy', 'torch'} & set(sys.modules)\n"
        "sys.argv = ['twoclips', '--help']\n"
        "with contextlib.suppress(SystemExit): main()\n"
        "print(os.environ['OPENBLAS_NUM_THREADS'], os.environ['OMP_WAIT_POLICY'])"
    )
    told = ("OPENBLAS_NUM_THREADS", "OMP_WAIT_POLICY")
    environment = {name: value for name, value in os.environ.items() if name not in told}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, env=environment)
    assert done.stdout.splitlines()[-1] == "1 passive"


@pytest.mark.parametrize(
    ("world", "expected"), [("Counter", 'has no render_mode="rgb_array"'), ("CounterUndrawable", "pip install paint")]
)
def test_people_are_not_asked_about_what_cannot_be_drawn(
    twoclips: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, world: str, expected: str
):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # the task is tried out in a process of its own
    task = f"tests.actors.counters:Twoclips{world}-v0"
    message = ends_with_one_sentence(twoclips("train", task, "--labeler", "human", "--labels", "8"), 2)
    assert expected in message
    assert "--labeler synthetic" in message
    assert list(tmp_path.iterdir()) == [], "nothing was begun"


def test_an_unknown_task_is_answered_with_near_names(twoclips: Call):
    message = ends_with_one_sentence(twoclips("train", "half-cheeta"), 2)
    assert "did you mean half-cheetah" in message


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--labels", "3"], "at least 4"),
        (["--steps", "0"], "--steps must be at least 1"),
        (["--clip-steps", "5000"], "longer than an episode"),
        (["--set", "ppo.entropi=1"], "did you mean ppo.entropy"),
        (["--set", "ppo.entropy"], "section.key=value"),
        (["--labeler", "nobody"], "labeler"),
        (["--resume"], "--run"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_impossible_settings_are_one_sentence(twoclips: Call, tmp_path: Path, arguments: list[str], expected: str):
    assert expected in ends_with_one_sentence(twoclips("train", "cart-pole", "--in-process", *arguments), 2)
    assert not list(tmp_path.iterdir()), "nothing was begun"


def test_a_folder_with_a_run_is_not_overwritten(twoclips: Call, finished_run: RunFolder):
    before = (finished_run.path / "config.toml").read_text()
    message = ends_with_one_sentence(twoclips("train", "cart-pole", "--run", finished_run.path), 2)
    assert "--resume" in message
    assert (finished_run.path / "config.toml").read_text() == before


@pytest.mark.parametrize("command", ["status", "report", "evaluate", "export"])
def test_a_folder_without_a_run_is_named(twoclips: Call, tmp_path: Path, command: str):
    (tmp_path / "elsewhere").mkdir()
    assert "holds no run" in ends_with_one_sentence(twoclips(command, "elsewhere"), 2)


def test_a_seed_below_zero_is_bad_usage(twoclips: Call, finished_run: RunFolder):
    done = twoclips("evaluate", finished_run.path, "--seed", "-1", "--no-video")
    assert done.code == 2
    assert "--seed" in done.stderr


def test_an_unknown_option_is_bad_usage(twoclips: Call):
    assert twoclips("status", "--nonsense").code == 2


def test_a_missing_file_of_comparisons_is_one_sentence(twoclips: Call, tmp_path: Path):
    assert "cannot read" in ends_with_one_sentence(twoclips("import", "missing.jsonl", "new"), 1)
    assert not (tmp_path / "new").exists()


def test_an_unreachable_redis_is_one_sentence(twoclips: Call, finished_run: RunFolder, tmp_path: Path):
    twoclips("export", finished_run.path, "--out", tmp_path / "rows.jsonl")
    message = ends_with_one_sentence(twoclips("import", "rows.jsonl", "new", "--redis", "redis://127.0.0.1:1"), 1)
    assert "cannot be reached" in message


def test_a_baseline_that_is_to_start_on_comparisons_is_refused_before_anything_is_begun(
    twoclips: Call, finished_run: RunFolder, baseline_run: RunFolder, tmp_path: Path
):
    twoclips("export", finished_run.path, "--out", tmp_path / "rows.jsonl")
    train = ("train", "cart-pole", "--labeler", "none", "--comparisons", "rows.jsonl", "--run")
    for done in (twoclips(*train, "new"), twoclips(*train, baseline_run.path, "--resume")):
        assert "leave the file out" in ends_with_one_sentence(done, 2)
    assert not (tmp_path / "new").exists()


def test_a_password_on_the_command_line_is_warned_of(twoclips: Call, finished_run: RunFolder, tmp_path: Path):
    twoclips("export", finished_run.path, "--out", tmp_path / "rows.jsonl")
    done = twoclips("import", "rows.jsonl", "new", "--redis", "redis://user:secret@127.0.0.1:1")
    assert "every user of this machine can read the password in --redis; set TWOCLIPS_REDIS" in done.stderr
    assert "secret" not in ends_with_one_sentence(done, 1)


def test_json_is_the_last_line_of_standard_output(twoclips: Call, finished_run: RunFolder, tmp_path: Path):
    calls = {
        "status": [finished_run.path],
        "evaluate": [finished_run.path, "--episodes", "2", "--no-video"],
        "export": [finished_run.path, "--out", tmp_path / "rows.jsonl"],
        "import": [tmp_path / "rows.jsonl", tmp_path / "new"],
        "report": [finished_run.path],
        "tasks": [],
        "settings": [],
    }
    for command, arguments in calls.items():
        done = twoclips(command, *arguments, "--json")
        assert done.code == 0, done.stderr
        found = json.loads(done.stdout.strip().splitlines()[-1])
        assert found
    assert list((tmp_path / "new" / "redis").iterdir())


def test_a_mujoco_task_is_made_without_a_deprecation_warning(tmp_path: Path):
    # MuJoCo writes past sys.stderr, so it takes a process of its own to see what a user sees.
    command = [sys.executable, "-m", "cluster.cli", "tasks"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=True)
    assert "half-cheetah" in done.stdout
    assert done.stderr == ""
    assert not list(tmp_path.iterdir()), "no MUJOCO_LOG.TXT"


def test_what_is_given_with_resume_is_changed_and_said(twoclips: Call, finished_run: RunFolder, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished_run.path, run, ignore=shutil.ignore_patterns("*.sock"))
    resume = ["train", "cart-pole", "--run", run, "--resume"]
    done = twoclips(*resume, "--steps", "2400", "--set", "reward.learning_rate=0.0001", "--json")
    assert done.code == 0
    assert "changed: steps from 1600 to 2400" in done.stderr
    assert "changed: reward.learning_rate from 0.0003 to 0.0001" in done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["steps"] >= 2400
    known = {"task": "cart-pole", "algorithm": "ppo", "seed": 1, "labeler": "synthetic", "labels": 20, "run": str(run)}
    assert known.items() <= told.items()
    assert told["policy_lag_max"] == 1
    assert min(told[name] for name in ("steps_per_second", "wall_s", "reward_version")) > 0
    assert told["true_return"] is told["predicted_return"] is None, "no episode of full length has ended"
    folder = RunFolder.open(run)
    assert (folder.config.steps, folder.config.reward.learning_rate) == (2400, 1e-4)
    assert "changed: steps from 1600 to 2400, reward.learning_rate" in folder.events_path.read_text()
    assert "algorithm cannot be changed within a run" in ends_with_one_sentence(
        twoclips(*resume, "--algorithm", "trpo"), 2
    )


@pytest.mark.skipif(torch.cuda.is_available(), reason="has CUDA")
def test_a_device_that_is_not_there_is_one_sentence(twoclips: Call) -> None:
    done = twoclips("train", "cart-pole", "--in-process", "--labels", 20, "--set", "loop.device=cuda")
    assert "PyTorch finds no CUDA device here" in ends_with_one_sentence(done, 2)
