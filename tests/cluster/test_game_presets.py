"""What a run of a game begins with where nothing else is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors.tasks import make_task
from cluster.cli_train import _created
from cluster.configure import make_config

PENALTIES = {
    "beam-rider": 200.0,
    "breakout": 5.0,
    "enduro": 10.0,
    "pong": 0.0,
    "qbert": 100.0,
    "seaquest": 60.0,
    "space-invaders": 50.0,
    "enduro-level": 0.0,
    "ALE/Alien-v5": 10.0,
    "ALE/Pong-v5": 0.0,
}


@pytest.mark.parametrize("algorithm", ["ppo", "a2c"])
@pytest.mark.parametrize("name", PENALTIES)
def test_every_game_has_the_papers_clips_and_labels_and_networks_for_two_cores(name: str, algorithm: str) -> None:
    task = make_task(name)
    assert task.end_penalty == PENALTIES[name]
    assert task.preset.clip_steps == 25  # 1.7 s
    assert task.horizon == 27_000  # half an hour
    config = make_config(task, {"algorithm": algorithm})
    assert config.reward.max_labels == 3000
    assert (config.policy.torso, config.reward.torso) == ("mnih-2013", "small")
    assert config.reward.dropout == 0.0
    assert config.reward.hidden == (64,)


def test_the_papers_networks_can_be_asked_for() -> None:
    asked = {"policy.torso": "mnih-2015", "reward.torso": "paper", "reward.dropout": 0.5}
    config = make_config(make_task("pong"), asked)
    assert (config.policy.torso, config.reward.torso, config.reward.dropout) == ("mnih-2015", "paper", 0.5)


def test_who_trains_on_a_game_whose_score_is_not_painted_black_is_warned(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = _created("ALE/Alien-v5", tmp_path / "alien", None, {})
    assert folder.config.task == "ALE/Alien-v5"
    said = capsys.readouterr().err
    assert said.startswith("ALE/Alien-v5: nobody said where its screen tells the score, so nothing is painted black")
    assert said.count("\n") == 1
    _created("pong", tmp_path / "pong", None, {})
    assert capsys.readouterr().err == ""
