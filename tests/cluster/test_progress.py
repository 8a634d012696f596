"""What is shown of a run at work: of a terminal's table and of a log's lines alike."""

from __future__ import annotations

import math

import pytest

from cluster.progress import Progress
from tests.cluster.runs import config_of

METRICS = {
    "agent_steps": 250_000,
    "steps_per_second": 21_450.4,
    "true_return": 1234.56,
    "predicted_return": -12.0,
    "labels": 431.0,
    "labels_due": 435.0,
    "validation_loss": 0.23456,
    "validation_accuracy": 0.875,
    "reward_version": 17,
    "policy_lag": 1.0,
}


def shown(progress: Progress, metrics: dict[str, object]) -> dict[str, str]:
    return dict(progress._rows(metrics))


def test_a_run_says_how_far_it_is_how_fast_and_what_it_has_learned() -> None:
    assert shown(Progress(config_of(steps=1_000_000)), METRICS) == {
        "steps": "250,000 of 1,000,000 (25%)",
        "steps/s": "21,450",
        "true return": "1,234.6",
        "policy lag": "1",
        "time left": "-",
        "predicted return": "-12.0",
        "labels": "431 of 435 due",
        "reward loss": "0.235",
        "reward accuracy": "88%",
        "reward version": "17",
    }


def test_the_time_that_is_left_follows_from_the_steps_since_it_was_first_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr("cluster.progress.time.monotonic", lambda: clock[0])
    progress = Progress(config_of(steps=1_000_000))
    assert shown(progress, METRICS)["time left"] == "-"
    clock[0] += 10.0
    assert shown(progress, METRICS | {"agent_steps": 350_000})["time left"] == "65 s"
    clock[0] += 90.0
    assert shown(progress, METRICS | {"agent_steps": 350_000})["time left"] == "11 min"


def test_before_the_first_update_the_phase_is_shown_and_what_nobody_knows_is_a_dash() -> None:
    rows = shown(Progress(config_of()), {"phase": "warm-up", "environment_steps": 4096, "labels": math.nan})
    assert (rows["phase"], rows["environment steps"]) == ("warm-up", "4,096")
    assert rows["labels"] == "- of - due"


def test_a_baseline_shows_nothing_of_labels() -> None:
    rows = shown(Progress(config_of(labeler="none")), METRICS)
    assert not {"labels", "predicted return", "reward loss"} & set(rows)


def test_what_is_shown_has_no_markup_in_it(capsys: pytest.CaptureFixture[str]) -> None:
    """Names and paths are anybody's."""
    said = "data/[final]/x.jsonl, [/x] and :cat:"
    with Progress(config_of()) as progress:
        progress.say(said)
        progress({"phase": said})
        progress._console.print(progress._table([("phase", said)]))
    assert capsys.readouterr().err.count(said) == 3


def test_without_a_terminal_it_is_a_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = [100.0]
    monkeypatch.setattr("cluster.progress.time.monotonic", lambda: clock[0])
    with Progress(config_of(steps=1_000_000)) as progress:
        for _ in range(21):
            progress(METRICS)
            clock[0] += 1.0
        progress.say("label at http://127.0.0.1:8765/")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 4, "at 0, 10 and 20 seconds, and what was said"
    assert lines[0].startswith("steps 250,000 of 1,000,000 (25%)  steps/s 21,450")
    assert lines[-1] == "label at http://127.0.0.1:8765/"
