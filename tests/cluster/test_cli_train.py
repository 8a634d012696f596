"""From the options of `train` to the config of its run, and what is said when that is done."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest

from cluster.run_folder import RunFolder
from tests.cluster.conftest import Done

SUMMARY = {
    "task": "hopper",
    "labeler": "synthetic",
    "labels": 700,
    "steps": 2_000_000,
    "steps_per_second": 11_187.4,
    "true_return": 3164.2,
}


@pytest.fixture
def begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[RunFolder]:
    """Runs that were to be trained; none is."""
    folders: list[RunFolder] = []

    def run_job(folder: RunFolder, resume: bool, comparisons: Path | None) -> tuple[dict[str, Any], Path]:
        del resume, comparisons
        folders.append(folder)
        return SUMMARY, folder.report_path

    monkeypatch.setattr("cluster.job.run_job", run_job)
    return folders


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--selection", "random"], {"query.selection": "random"}),
        (["--members", "1"], {"reward.members": 1}),
        (["--offline"], {"query.offline": True}),
        (["--no-regularisation"], {"reward.regularise": False}),
        (["--clip-steps", "1"], {"clip_steps": 1}),
        (["--target", "returns"], {"reward.target": "returns"}),
        (["--labeler", "none"], {"labeler": "none"}),
        (["--algorithm", "trpo", "--seed", "7"], {"algorithm": "trpo", "seed": 7}),
        (["--workers", "auto"], {"workers": 0}),
        (["--labels", "1400", "--steps", "50"], {"labels": 1400, "steps": 50}),
        (["--set", "ppo.entropy=0.02", "--in-process"], {"ppo.entropy": 0.02, "in_process": True}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_an_option_is_a_setting_of_the_run_and_the_others_are_the_tasks(
    twoclips: Callable[..., Done], begun: list[RunFolder], options: list[str], expected: dict[str, Any]
) -> None:
    assert twoclips("train", "swimmer", "--run", "run", *options).code == 0
    config = RunFolder.open(begun[0].path).config
    assert {name: attrgetter(name)(config) for name in expected} == expected
    assert config.learner.gamma == 0.9999, "the task's preset"


def test_at_the_end_it_says_where_everything_is_and_how_the_policy_did(
    twoclips: Callable[..., Done], begun: list[RunFolder]
) -> None:
    done = twoclips("train", "hopper", "--run", "run")
    assert done.stdout.splitlines() == [
        "run     run",
        "report  run/report.html",
        "hopper learned from 700 comparisons: true return 3,164 after 2,000,000 steps (11,187 per second)",
    ]


def test_a_baseline_and_a_run_too_short_for_an_episode_say_so(
    twoclips: Callable[..., Done], begun: list[RunFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SUMMARY, "labeler", "none")
    monkeypatch.setitem(SUMMARY, "true_return", None)
    last = twoclips("train", "hopper", "--run", "run").stdout.splitlines()[-1]
    assert last.startswith("hopper learned from the true reward: no episode ended after 2,000,000 steps")
