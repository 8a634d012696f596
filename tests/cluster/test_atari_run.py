"""A whole run of a game from pictures, in one process: what it learns in seconds is nothing, but every part takes
part."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from actors import tasks
from actors.enduro import PASS_COST
from actors.judges import JUDGES
from actors.policy import ActorCritic, PolicyConfig
from actors.presets import NAMED
from actors.tasks import make_task
from cluster.config import ConfigError
from cluster.configure import make_config
from cluster.evaluate import evaluate
from cluster.evaluate_games import play_games
from cluster.run_folder import RunFolder
from cluster.video import Recording, write_video
from tests.cluster.runs import train
from tests.cluster.test_training import curve

TINY = {
    "in_process": True,
    "labels": 8,
    "query.initial_fraction": 0.5,
    "rollout.num_envs": 2,
    "ppo.minibatch": 50,
    "ppo.epochs": 1,
    "reward.batch_pairs": 2,
    "reward.gradient_steps_per_step": 1,
    "reward.recent_steps": 64,
    "loop.warmup_steps": 300,
    "loop.pretrain_steps": 2,
    "loop.learner_threads": 1,
    "loop.device": "cpu",
}


@pytest.mark.parametrize(("algorithm", "steps"), [("ppo", 50), ("a2c", 5)])
def test_a_game_is_learned_from_comparisons_of_pictures(tmp_path: Path, algorithm: str, steps: int) -> None:
    settings = {**TINY, "algorithm": algorithm, "rollout.steps": steps, "steps": 200, "loop.service_updates": 2}
    config = make_config(make_task("breakout"), settings)
    summary = train(tmp_path / "run", config)
    assert summary["steps"] >= 200
    assert summary["labels"] == 8
    assert summary["reward_version"] >= 1
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["episodes"] > 0  # games that the agent took for one life
    assert RunFolder.open(tmp_path / "run").config == config


def test_two_threads_learn_the_same_twice(tmp_path: Path) -> None:
    settings = {**TINY, "rollout.steps": 30, "ppo.minibatch": 30, "steps": 90, "loop.learner_threads": 2}
    for name in ("one", "other"):
        train(tmp_path / name, make_config(make_task("breakout"), settings))
    assert len(curve(tmp_path / "one")) == 2
    assert curve(tmp_path / "one") == curve(tmp_path / "other")


def test_trpo_is_refused_for_pictures() -> None:
    with pytest.raises(ConfigError, match="use ppo or a2c"):
        make_config(make_task("pong"), {"algorithm": "trpo"})


def test_a2c_has_presets_of_its_own() -> None:
    task = make_task("pong")
    assert make_config(task, {}).rollout.steps == 128
    a2c = make_config(task, {"algorithm": "a2c"})
    assert (a2c.rollout.steps, a2c.rollout.num_envs, a2c.learner.gae_lambda) == (5, 16, 1.0)
    assert (a2c.a2c.learning_rate, a2c.a2c.entropy, a2c.learner.gamma, a2c.reward.reward_std) == (
        7e-4,
        0.01,
        0.99,
        0.05,
    )
    assert a2c.a2c.final_learning_rate == 1 - 50 / 80  # to 0 at 80M steps, of which 50M are done
    assert make_config(task, {"algorithm": "a2c", "rollout.steps": 7}).rollout.steps == 7


def test_games_are_scored_and_the_first_is_filmed_in_colour(tmp_path: Path) -> None:
    torch.manual_seed(0)
    task = make_task("breakout")
    policy = ActorCritic(PolicyConfig(torso="mnih-2013"), task.observation_shape, task.action)
    with torch.no_grad():
        last = policy.actor[-1]
        assert isinstance(last, torch.nn.Linear)
        last.bias[1] += 10.0  # always fires, and soon loses
    games = play_games(task, policy, 3, seed=5)
    recording = games.recording
    assert games.scores.shape == (3,)
    assert (games.scores >= 0).all()
    assert np.array_equal(games.true_returns, games.scores)
    assert games.judged == {}, "nobody judges how a ball is hit"
    assert set(recording.actions.tolist()) == {1}
    first = Recording(recording.seed, np.asarray(recording.actions[:30]), recording.states[:30])
    assert write_video(task, first, tmp_path / "game.mp4") == ""
    assert (tmp_path / "game.mp4").stat().st_size > 1000


def test_level_driving_is_evaluated_by_its_scripted_judge_the_games_score_and_a_hidden_judge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment_id, preset = NAMED["enduro-level"]
    short = environment_id, replace(preset, horizon=600)  # a whole game has 3,300 steps
    monkeypatch.setitem(tasks._REGISTERED, "enduro-level", short)
    task = make_task("enduro-level")
    train(tmp_path / "run", make_config(task, {**TINY, "rollout.steps": 50, "steps": 200}))
    folder = RunFolder.open(tmp_path / "run")
    found = evaluate(folder, episodes=1, seed=1, video=None)
    assert set(found["judged"]) == set(JUDGES["enduro-level"].figures)
    assert all(np.isfinite(figure["mean"]) for figure in found["judged"].values())
    assert found["true_return_mean"] != found["standard_return_mean"], "the second is Enduro's own score"


def test_an_agent_at_rest_is_passed_by_all_and_its_score_does_not_tell() -> None:
    task = make_task("enduro-level")
    short = replace(task, preset=replace(task.preset, horizon=400))
    policy = ActorCritic(PolicyConfig(torso="mnih-2013"), task.observation_shape, task.action)
    with torch.no_grad():
        last = policy.actor[-1]
        assert isinstance(last, torch.nn.Linear)
        last.bias[0] += 10.0  # never touches the throttle
    games = play_games(short, policy, 3, seed=5)
    assert games.scores.tolist() == [0.0] * 3
    assert games.judged["driving_share"].tolist() == games.judged["level_share"].tolist() == [0.0] * 3
    assert (games.judged["passes_per_min"] > 30).all()
    # 399 of 400 steps: the memory after the last is the next game's
    passed = games.judged["passes_per_min"] * 400 * 4 / 3600
    assert np.abs(games.true_returns + PASS_COST * passed).max() <= PASS_COST + 1e-6
