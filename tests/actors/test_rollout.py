import numpy as np
import pytest
import torch

from actors.policy import ActorCritic, PolicyConfig
from actors.rollout import AbandonedError, RolloutConfig, RolloutWorker
from actors.simulators import EnvironmentFailure
from actors.tasks import Preset, make_task, register
from actors.weights import PolicyWeights

SMALL = PolicyConfig(hidden=(8,))


def policy_for(task):
    torch.manual_seed(0)
    policy = ActorCritic(SMALL, task.observation_shape, task.action)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
        policy.observation_mean.fill_(0.1)
        policy.observation_std.fill_(0.7)
    return policy


def worker_for(task, seed=0, steps=40, num_envs=3):
    return RolloutWorker(task, SMALL, RolloutConfig(num_envs=num_envs, steps=steps), worker=5, seed=seed)


def counter(name):
    register("counter", f"Twoclips{name}-v0", Preset(horizon=8, clip_steps=2))
    return make_task("counter")


@pytest.mark.parametrize("name", ["hopper", "reacher", "CartPole-v1", "MountainCarContinuous-v0"])
def test_densities_are_those_of_the_policy_that_acted(name):
    task = make_task(name)
    policy = policy_for(task)
    rollout, hidden = worker_for(task).step(policy.export(4))
    assert (rollout.policy_version, rollout.worker, rollout.num_steps) == (4, 5, 120)
    with torch.no_grad():
        head = policy.head(policy.normalise(torch.from_numpy(rollout.observations[:-1])))
        expected = policy.log_prob(head, torch.from_numpy(rollout.actions))
    np.testing.assert_allclose(rollout.log_probs, expected, atol=2e-5)
    assert rollout.actions.dtype == (np.int64 if task.action.discrete else np.float32)
    assert hidden.true_rewards.shape == (40, 3)
    assert not rollout.terminated.any()


@pytest.mark.parametrize("name", ["hopper", "CartPole-v1"])
def test_the_same_seed_gives_the_same_rollout_and_another_another(name):
    task = make_task(name)
    weights = policy_for(task).export(0)
    first, again, other = (worker_for(task, seed) for seed in (1, 1, 2))
    for _ in range(2):
        (a, hidden_a), (b, hidden_b), (c, _) = (worker.step(weights) for worker in (first, again, other))
        for field in ("observations", "actions", "log_probs", "final_observations"):
            np.testing.assert_array_equal(getattr(a, field), getattr(b, field))
        np.testing.assert_array_equal(hidden_a.true_rewards, hidden_b.true_rewards)
        np.testing.assert_array_equal(hidden_a.states, hidden_b.states)
        assert (a.observations != c.observations).any()


def test_a_rollout_begins_where_the_last_one_ended_and_leaves_the_last_one_alone():
    task = make_task("hopper")
    worker = worker_for(task)
    weights = policy_for(task).export(0)
    first, _ = worker.step(weights)
    kept = first.observations.copy()
    second, _ = worker.step(weights)
    np.testing.assert_array_equal(first.observations[-1], second.observations[0])
    np.testing.assert_array_equal(first.observations, kept)


def test_every_field_is_filled_and_ends_carry_what_was_seen_before_the_reset(counters):
    """The Counter of 8 steps shows the step's number: three environments, staggered, 40 steps."""
    task = counter("Counter")
    rollout, hidden = worker_for(task).step(policy_for(task).export(0))
    assert np.isfinite(rollout.observations).all()
    assert np.isfinite(hidden.true_rewards).all()
    assert hidden.states.shape == (40, 3, 0)
    assert len(rollout.ends) == rollout.truncated.sum() == 3 * 5
    after = rollout.observations[1:][rollout.truncated]
    assert (after[:, 0] == 0).all()
    later = rollout.ends[:, 0] >= 8  # the first episodes are cut short
    assert (rollout.final_observations[later, 0] == 8).all()
    np.testing.assert_array_equal(rollout.final_observations[:, 1], after[:, 1] - 1)
    running = ~rollout.truncated
    np.testing.assert_array_equal(hidden.true_rewards[running], rollout.observations[1:][running][:, 0])


def test_states_are_those_in_which_the_action_was_chosen():
    """The hopper's observation is its state without the first coordinate, with velocities clipped."""
    task = make_task("hopper")
    rollout, hidden = worker_for(task).step(policy_for(task).export(0))
    np.testing.assert_array_equal(hidden.states[..., 1:6], rollout.observations[:-1, :, :5])


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("CounterNanObservation", "observation"),
        ("CounterNanLast", "last observation"),
        ("CounterNanReward", "reward"),
    ],
)
def test_what_is_not_a_number_is_refused_with_its_place(counters, name, what):
    task = counter(name)
    place = r"\(worker 5, environment \d, step \d+ of its rollout\)"
    with pytest.raises(EnvironmentFailure, match=rf"{name}-v0 gave a {what} that is not a finite number {place}"):
        worker_for(task).step(policy_for(task).export(0))


def test_an_environment_that_raises_is_named(counters):
    task = counter("CounterRaises")
    with pytest.raises(EnvironmentFailure, match="TwoclipsCounterRaises-v0 raised ArithmeticError"):
        worker_for(task).step(policy_for(task).export(0))


def test_foreign_weights_are_refused():
    with pytest.raises(ValueError, match="they belong to another task or network"):
        worker_for(make_task("CartPole-v1")).step(PolicyWeights(0, np.zeros(9, np.float32)))


def test_categorical_actions_are_drawn_with_their_probabilities():
    """One logit apart: e times as often."""
    task = make_task("CartPole-v1")
    policy = ActorCritic(SMALL, task.observation_shape, task.action)
    with torch.no_grad():
        policy.actor[-1].weight.zero_()
        policy.actor[-1].bias.copy_(torch.tensor([0.0, 1.0]))
    rollout, _ = worker_for(task, steps=300, num_envs=10).step(policy.export(0))
    assert rollout.actions.mean() == pytest.approx(np.e / (1 + np.e), abs=0.03)
    assert np.unique(rollout.log_probs.round(4)).tolist() == pytest.approx([-1.3133, -0.3133], abs=1e-4)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
@pytest.mark.parametrize("name", ["hopper", "CartPole-v1", "pong"])
def test_a_policy_on_a_gpu_acts_as_on_the_cpu(name):
    """With the same noise, until what float32 leaves open has grown."""
    task = make_task(name)
    weights = policy_for(task).export(0)
    workers = [RolloutWorker(task, SMALL, RolloutConfig(3, 5, device=device), 0, seed=1) for device in ("cpu", "cuda")]
    (here, _), (there, _) = (worker.step(weights) for worker in workers)
    np.testing.assert_allclose(there.actions, here.actions, atol=1e-2)
    np.testing.assert_allclose(there.log_probs, here.log_probs, atol=1e-2)


def test_a_rollout_that_nobody_wants_any_more_ends_at_its_next_step():
    task = make_task("CartPole-v1")
    worker = worker_for(task)
    worker.abandon()
    with pytest.raises(AbandonedError):
        worker.step(policy_for(task).export(0))
    assert worker.steps_done == 0
