"""The learner on rollouts whose values and advantages are known."""

import copy
import dataclasses

import numpy as np
import pytest
import torch

from actors.policy import ActorCritic, PolicyConfig
from actors.spaces import ActionSpec
from actors.trajectory import Rollout
from learners.a2c import A2C, A2CConfig
from learners.checkpoint import load_checkpoint, save_checkpoint
from learners.learner import Learner, LearnerConfig, LearnerFailure
from learners.ppo import PPO, PPOConfig
from learners.trpo import TRPO, TRPOConfig

STEPS, ENVS, WIDTH = 12, 3, 2


class Spy:
    """An Algorithm that learns nothing and remembers what it was given."""

    looks_once = False
    metrics: dict[str, float]

    def __init__(self):
        self.metrics = {"policy_loss": 0.0}

    def update(self, batch, progress):
        self.batch, self.progress = batch, progress
        return self.metrics

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass


def make_policy():
    return ActorCritic(PolicyConfig(hidden=(8, 8)), (WIDTH,), ActionSpec(1, 0, (-1.0,), (1.0,)))


def make_rollout(policy, version=0, seed=0, terminated=(), truncated=()):
    """Random observations, and the actions that `policy` takes there."""
    random = np.random.default_rng(seed)
    observations = (5 + 3 * random.standard_normal((STEPS + 1, ENVS, WIDTH))).astype(np.float32)
    flags = np.zeros((2, STEPS, ENVS), bool)
    for kind, places in zip(flags, (terminated, truncated), strict=True):
        for place in places:
            kind[place] = True
    ends = np.argwhere(flags[0] | flags[1])
    with torch.no_grad():
        head = policy.head(policy.normalise(torch.from_numpy(observations[:-1])))
        actions = head + policy.log_std.exp() * torch.from_numpy(random.standard_normal(head.shape).astype(np.float32))
        log_probs = policy.log_prob(head, actions)
    return Rollout(
        observations=observations,
        actions=actions.numpy(),
        log_probs=log_probs.numpy(),
        terminated=flags[0],
        truncated=flags[1],
        ends=ends,
        final_observations=(5 + 3 * random.standard_normal((len(ends), WIDTH))).astype(np.float32),
        policy_version=version,
        worker=0,
    )


def shortened(rollout, steps):
    """Its first steps, none of which is an episode's end."""
    columns = {name: getattr(rollout, name)[:steps] for name in ("actions", "log_probs", "terminated", "truncated")}
    return dataclasses.replace(rollout, observations=rollout.observations[: steps + 1], **columns)


def judge_everything(policy, value):
    """Make the critic say `value` everywhere."""
    with torch.no_grad():
        policy.critic[-1].weight.zero_()
        policy.critic[-1].bias.fill_(value)


def test_advantages_are_zero_where_the_critic_is_right():
    """Reward 1 for ever at gamma 0.9 is worth 10 everywhere, also over a truncation."""
    policy, spy = make_policy(), Spy()
    judge_everything(policy, 10.0)
    rollout = make_rollout(policy, truncated=[(4, 0), (7, 2)])
    Learner(LearnerConfig(gamma=0.9), policy, spy).step([rollout], [torch.ones(STEPS, ENVS)], 0.25)
    torch.testing.assert_close(spy.batch.advantages, torch.zeros(STEPS * ENVS), atol=1e-5, rtol=0)
    assert spy.progress == 0.25


def test_a_termination_is_worth_its_last_reward_alone():
    """The same world: the step that ends it brings 1 where 10 was expected; the one before hears of it."""
    policy, spy = make_policy(), Spy()
    judge_everything(policy, 10.0)
    rollout = make_rollout(policy, terminated=[(4, 0)])
    learner = Learner(LearnerConfig(gamma=0.9, gae_lambda=0.5), policy, spy)
    learner.step([rollout], [torch.ones(STEPS, ENVS)], 0.0)
    advantages = spy.batch.advantages.view(STEPS, ENVS)
    assert advantages[3:6, 0].tolist() == pytest.approx([-9 * 0.45, -9.0, 0.0], abs=1e-5)
    assert advantages[:, 1:].abs().max() < 1e-5


def test_truncation_bootstraps_from_the_last_observation_not_from_the_next_episodes_first():
    """Against the plain definition, step by step, with a critic that judges every observation differently."""
    policy, spy = make_policy(), Spy()
    rollout = make_rollout(policy, terminated=[(2, 1)], truncated=[(4, 0), (4, 2), (11, 1)])
    rewards = np.random.default_rng(1).standard_normal((STEPS, ENVS)).astype(np.float32)

    def value(observation):
        with torch.no_grad():
            return policy.values(policy.normalise(torch.from_numpy(observation))).item()

    expected = np.zeros((STEPS, ENVS))
    final = {tuple(place): last for place, last in zip(rollout.ends, rollout.final_observations, strict=True)}
    for env in range(ENVS):
        running = 0.0
        for t in reversed(range(STEPS)):
            following = final.get((t, env), rollout.observations[t + 1, env])
            bootstrap = 0.0 if rollout.terminated[t, env] else value(following)
            delta = rewards[t, env] + 0.99 * bootstrap - value(rollout.observations[t, env])
            running = delta + (0.0 if (t, env) in final else 0.99 * 0.95 * running)
            expected[t, env] = running
    Learner(LearnerConfig(), policy, spy).step([rollout], [torch.from_numpy(rewards)], 0.0)
    np.testing.assert_allclose(spy.batch.advantages.view(STEPS, ENVS), expected, atol=1e-4)


def test_advantages_of_a_rollout_do_not_hang_on_those_that_are_learned_from_beside_it():
    policy = make_policy()
    rollouts = [make_rollout(policy, seed=1, truncated=[(4, 0), (7, 2)]), shortened(make_rollout(policy, seed=2), 5)]
    rollouts.append(make_rollout(policy, seed=3, terminated=[(2, 1)]))
    rewards = [torch.randn(rollout.log_probs.shape) for rollout in rollouts]
    together, alone = Spy(), [Spy() for _ in rollouts]
    Learner(LearnerConfig(), copy.deepcopy(policy), together).step(rollouts, rewards, 0.0)
    for spy, rollout, paid in zip(alone, rollouts, rewards, strict=True):
        Learner(LearnerConfig(), copy.deepcopy(policy), spy).step([rollout], [paid], 0.0)
    assert torch.equal(together.batch.advantages, torch.cat([spy.batch.advantages for spy in alone]))


def test_rows_of_a_batch_belong_together():
    policy, spy = make_policy(), Spy()
    rollouts = [make_rollout(policy, seed=seed) for seed in (1, 2)]
    learner = Learner(LearnerConfig(), policy, spy)
    learner.observe(rollouts)
    learner.step(rollouts, [torch.ones(STEPS, ENVS)] * 2, 0.0)
    batch = spy.batch
    assert batch.size == 2 * STEPS * ENVS
    row = STEPS * ENVS + 5 * ENVS + 2  # t = 5, env = 2 of the second rollout
    assert batch.actions[row].item() == rollouts[1].actions[5, 2].item()
    assert batch.log_probs[row].item() == rollouts[1].log_probs[5, 2].item()
    standard = batch.targets - batch.values
    np.testing.assert_allclose(standard * learner._scale.std, batch.advantages, atol=1e-4)


def test_what_the_critic_says_survives_a_change_of_the_value_scale():
    policy = make_policy()
    learner = Learner(LearnerConfig(), policy, Spy())
    x = torch.randn(20, WIDTH)
    with torch.no_grad():
        before = policy.values(x) * learner._scale.std + learner._scale.mean
        learner.step([make_rollout(policy)], [torch.full((STEPS, ENVS), 300.0)], 0.0)
        after = policy.values(x) * learner._scale.std + learner._scale.mean
    assert learner._scale.std > 100
    torch.testing.assert_close(after, before, atol=2e-3, rtol=1e-4)


def test_targets_are_in_units_near_one_whatever_the_reward_scale():
    for size in (1e-3, 1e3):
        policy, spy = make_policy(), Spy()
        judge_everything(policy, 0.0)
        rewards = size * torch.randn(STEPS, ENVS, generator=torch.Generator().manual_seed(0))
        Learner(LearnerConfig(), policy, spy).step([make_rollout(policy)], [rewards], 0.0)
        if size > 1:  # far below, the floor of the scale holds: noise is not blown up to signal
            assert spy.batch.targets.std(correction=0).item() == pytest.approx(1, rel=1e-3)
        assert abs(spy.batch.targets.mean().item()) < 1e-3


def test_the_critic_learns_the_known_value():
    """Reward 1 for ever at gamma 0.9: 10."""
    policy = make_policy()
    learner = Learner(LearnerConfig(gamma=0.9), policy, PPO(PPOConfig(learning_rate=1e-2, minibatch=36), policy, 0))
    for seed in range(25):
        learner.step([make_rollout(policy, seed=seed)], [torch.ones(STEPS, ENVS)], 0.0)
    with torch.no_grad():
        values = policy.values(torch.randn(50, WIDTH)) * learner._scale.std + learner._scale.mean
    assert values.mean().item() == pytest.approx(10, rel=0.1)


def test_observations_are_normalised_with_what_was_seen_up_to_now():
    policy, spy = make_policy(), Spy()
    learner = Learner(LearnerConfig(), policy, spy)
    rollouts = [make_rollout(policy, seed=seed) for seed in range(30)]
    learner.observe(rollouts)
    assert policy.observation_mean.numpy() == pytest.approx([5, 5], abs=0.3)
    assert policy.observation_std.numpy() == pytest.approx([3, 3], abs=0.3)
    learner.step(rollouts[:1], [torch.ones(STEPS, ENVS)], 0.0)
    assert abs(spy.batch.observations.mean().item()) < 0.5


def test_versions_count_updates_and_lag_is_the_oldest_rollouts():
    policy = make_policy()
    learner = Learner(LearnerConfig(), policy, Spy())
    rewards = torch.ones(STEPS, ENVS)
    assert learner.weights().version == 0
    first = learner.step([make_rollout(policy, version=0)], [rewards], 0.0)
    assert (first["policy_lag"], first["policy_version"]) == (0, 1)
    second = learner.step([make_rollout(policy, version=1), make_rollout(policy, version=0)], [rewards] * 2, 0.0)
    assert (second["policy_lag"], second["policy_version"]) == (1, 2)
    assert learner.weights().version == 2


@pytest.mark.parametrize(
    "make", [lambda p: PPO(PPOConfig(), p, 0), lambda p: A2C(A2CConfig(), p, 0), lambda p: TRPO(TRPOConfig(), p, 0)]
)
@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
def test_a_reward_that_is_not_a_number_stops_learning(poison, make):
    policy = make_policy()
    learner = Learner(LearnerConfig(), policy, make(policy))
    rewards = torch.ones(STEPS, ENVS)
    rewards[3, 1] = poison
    with pytest.raises(LearnerFailure, match=r"reward is not a finite number; resume from the last checkpoint"):
        learner.step([make_rollout(policy)], [rewards], 0.0)
    assert learner.version == 0, "nobody is told of another policy"


def test_a_diverged_update_is_said():
    policy, spy = make_policy(), Spy()
    spy.metrics = {"policy_loss": float("nan")}
    with pytest.raises(LearnerFailure, match="the policy update diverged"):
        Learner(LearnerConfig(), policy, spy).step([make_rollout(policy)], [torch.ones(STEPS, ENVS)], 0.0)


@pytest.mark.parametrize(
    "algorithm",
    [
        lambda policy, seed: PPO(PPOConfig(epochs=2, minibatch=16), policy, seed),
        lambda policy, seed: TRPO(TRPOConfig(value_minibatch=16), policy, seed),
        lambda policy, seed: A2C(A2CConfig(), policy, seed),
    ],
    ids=["ppo", "trpo", "a2c"],
)
def test_resumed_from_a_checkpoint_it_continues_bit_for_bit(algorithm, tmp_path):
    def advance(learner, seed):
        rewards = torch.randn(STEPS, ENVS, generator=torch.Generator().manual_seed(seed))
        rollout = make_rollout(learner.policy, learner.version, seed, truncated=[(seed, 0)])
        return learner.step([rollout], [rewards], seed / 10)

    policy = make_policy()
    learner = Learner(LearnerConfig(), policy, algorithm(policy, 1))
    for seed in range(3):
        advance(learner, seed)
    save_checkpoint(tmp_path, learner.version, {"learner": learner.state_dict()})
    fresh = make_policy()
    resumed = Learner(LearnerConfig(), fresh, algorithm(fresh, 2))
    resumed.load_state_dict(load_checkpoint(tmp_path)[1]["learner"])
    assert (resumed.weights().vector == learner.weights().vector).all()
    for seed in range(3, 6):
        assert advance(resumed, seed) == advance(learner, seed)
    assert (resumed.weights().vector == learner.weights().vector).all()
    assert resumed.weights().version == 6


def test_a_coordinate_that_never_changes_has_a_small_spread_not_none():
    policy = make_policy()
    rollout = make_rollout(policy)
    rollout.observations[..., 1] = 7.0
    Learner(LearnerConfig(), policy, Spy()).observe([rollout])
    assert policy.observation_mean[1] == 7.0
    assert policy.observation_std.tolist() == pytest.approx([rollout.observations[:-1, :, 0].std(), 1e-4])


def test_a_state_is_not_changed_by_learning_on():
    """What was copied for a checkpoint stays as it was."""
    policy = make_policy()
    learner = Learner(LearnerConfig(), policy, A2C(A2CConfig(), policy, 0))
    state = copy.deepcopy(learner.state_dict())
    rewards = torch.ones(STEPS, ENVS)
    learner.step([make_rollout(policy)], [rewards], 0.0)
    learner.load_state_dict(state)
    assert learner.version == 0
    assert learner._moments.count == 0
