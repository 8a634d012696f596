from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from actors.tasks import make_task
from cluster.config import ConfigError
from cluster.configure import change_config, make_config
from cluster.errors import exit_code, sentence
from cluster.settings import parse_settings
from labeling.people import UnknownPersonError
from tests.cluster.runs import config_of


def test_a_preset_overrules_defaults_and_is_overruled_by_settings() -> None:
    assert config_of("swimmer").learner.gamma == 0.9999
    assert config_of("swimmer", learner__gamma=0.9).learner.gamma == 0.9
    assert config_of("cart-pole").learner.gamma == 0.99


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"labels": 3}, "at least 4"),
        ({"steps": 0}, "--steps"),
        ({"clip_steps": 2000}, "longer than an episode"),
        ({"workers": -1}, "--workers"),
        ({"learner__gamma": 1.5}, "gamma"),
        ({"loop__reward_share": 0.0}, "reward_share"),
        ({"address": "auto"}, "--redis"),
        ({"address": "ray://head:10001", "redis": "redis://r"}, "Ray Client"),
        ({"reward__max_labels": 10}, "max_labels"),
        ({"ppo__entropi": 0.1}, "did you mean ppo.entropy"),
        ({"learner": 1}, "learner"),
        ({"algorithm": "dqn"}, "'ppo' or 'trpo' or 'a2c'"),
        ({"labels": "many"}, "labels must be int"),
        ({"oracle__error_rate": 2.0}, "between 0 and 1"),
        ({"oracle__people": "perfect:2", "oracle__error_rate": 0.1}, "leave the other"),
        ({"labeling__overlap": 3}, "needs that many labelers"),
        ({"oracle__people": "perfect:2", "labeling__overlap": 3}, "needs that many labelers"),
        ({"query__gold_fraction": 2.0}, "gold_fraction must be in"),
        ({"reward__reliability": "guessed"}, "'learned' or 'fixed'"),
        ({"seed": -1}, "--seed"),
        ({"seed": 20_261_130_123_456}, "--seed"),
        ({"reward__members": 0}, "members must be at least 1"),
        ({"reward__dropout": 1.0}, r"dropout must be in \[0, 1\)"),
        ({"reward__l2_initial": -1.0}, "l2_initial"),
        ({"ppo__learning_rate": -1.0}, "learning_rate must be above 0"),
        ({"ppo__learning_rate": float("nan")}, "learning_rate must be above 0"),
        ({"ppo__clip": -1.0}, "clip"),
        ({"learner__gae_lambda": 7.0}, "gae_lambda"),
        ({"trpo__max_kl": -1.0}, "max_kl"),
        ({"a2c__alpha": 1.0}, "alpha"),
        ({"loop__checkpoint_steps": -5}, "checkpoint_steps must be at least 0"),
        ({"policy__hidden": [64, 0]}, "hidden must be at least 1"),
        ({"policy__hidden": [64, 64.5]}, r"policy\.hidden\[1\] must be int, got 64\.5"),
        ({"policy__hidden": [1e2]}, r"policy\.hidden\[0\] must be int, got 100\.0"),
        ({"reward__hidden": ["a"]}, r"reward\.hidden\[0\] must be int, got 'a'"),
        ({"policy__hidden": 64}, "policy.hidden must be tuple, got 64"),
        ({"query__max_open": 0}, "max_open"),
        ({"query__recent_clips": 1}, "recent_clips must be at least 2"),
        ({"ppo__minibatch": 0}, "ppo.minibatch"),
        ({"ppo__epochs": 0}, "ppo.epochs"),
        ({"policy__initial_std": 0.0}, "initial_std"),
        ({"query__initial_fraction": 2.0}, "initial_fraction"),
        ({"loop__reward_steps": 0}, "reward_steps"),
        ({"rollout__num_envs": 0}, "num_envs must be at least 1"),
        ({"rollout__steps": 0}, "steps must be at least 1"),
        ({"rollout__cores": 0, "in_process": True}, "rollout.cores=0 is not possible for 16 environments"),
        ({"rollout__cores": 17, "in_process": True}, "at most rollout.num_envs"),
        ({"rollout__cores": 2}, "with Ray each rollout worker has one core; use --workers"),
        ({"rollout__device": "cuda"}, "with Ray weights travel to rollout workers"),
        ({"learner__precision": "bfloat16"}, "is not seen in pictures"),
    ],
    ids=str,
)
def test_what_no_run_can_have_is_refused_in_one_sentence(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        config_of(**settings)
    assert "\n" not in str(caught.value)


def test_the_task_is_not_a_setting() -> None:
    """The run would be of one task with the presets of another."""
    with pytest.raises(ConfigError, match=r"task is not a setting: .*`twoclips train half-cheetah`"):
        make_config(make_task("cart-pole"), {"task": "half-cheetah"})


def test_people_that_nobody_knows_are_bad_usage_and_told_who_there_is() -> None:
    with pytest.raises(UnknownPersonError, match="spammer") as caught:
        config_of(oracle__people="perfect:2,saint:1")
    assert "\n" not in sentence(caught.value)
    assert exit_code(caught.value) == 2
    assert config_of(oracle__people="perfect:2,spammer", labeling__overlap=3).oracle.people == "perfect:2,spammer"


@pytest.mark.parametrize(
    "pair",
    [
        {"supervision.starting_s": 300.0, "supervision.stuck_s": 200.0},  # above starting_s as it is by default
        {"reward.ratio_low": 2.0, "reward.ratio_high": 3.0},
    ],
    ids=lambda pair: next(iter(pair)),
)
def test_settings_that_only_together_are_possible_may_come_in_any_order(pair: dict[str, Any]) -> None:
    given = {name.replace(".", "__"): value for name, value in pair.items()}
    config = config_of(**given)
    assert config == config_of(**dict(reversed(given.items()))) == change_config(config_of(), pair) != config_of()


@pytest.mark.parametrize("name", ["supervision.stuck_s", "reward.ratio_low"])
def test_one_of_two_that_goes_only_with_the_other_is_named(name: str) -> None:
    with pytest.raises(ConfigError, match=f"^{name}=200.0: "):
        change_config(config_of(), {name: 200.0})


def test_settings_are_read_as_toml_where_that_works() -> None:
    found = parse_settings(["a.b=0.1", "c=true", "d=auto", "e=[1, 2]", "f=none"])
    assert found == {"a.b": 0.1, "c": True, "d": "auto", "e": [1, 2], "f": "none"}
    with pytest.raises(ConfigError, match=r"section\.key=value"):
        parse_settings(["nonsense"])


def test_settings_may_change_within_a_run_but_for_what_it_was_made_with() -> None:
    config = config_of("cart-pole", steps=1000, ppo__minibatch=64)
    changed = change_config(config, {"steps": 2000, "ppo.minibatch": 32, "loop.device": "cpu"})
    assert (changed.steps, changed.ppo.minibatch, changed.loop.device) == (2000, 32, "cpu")
    assert change_config(config, {"algorithm": "ppo", "steps": 1000}) == config, "what it has already is no change"
    made_with = {"algorithm": "a2c", "labeler": "none", "policy.hidden": [8], "reward.members": 5, "clip_steps": 7}
    made_with |= {"reward.regularise": False, "reward.target": "returns", "reward.seed": 3, "reward.recent_steps": 8}
    made_with |= {"reward.normalisation": "recent"}
    for name, value in made_with.items():
        with pytest.raises(ConfigError, match=f"{name} cannot be changed within a run"):
            change_config(config, {name: value})
    with pytest.raises(ConfigError, match="--labels must be at least 4"):
        change_config(config, {"labels": 3})


def test_a_configuration_that_was_edited_to_what_cannot_be_is_refused_when_it_is_to_go_on():
    edited = dataclasses.replace(config_of(), steps=0)
    with pytest.raises(ConfigError, match="--steps must be at least 1, got 0"):
        change_config(edited, {})
