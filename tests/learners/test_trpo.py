import copy

import pytest
import torch

from actors.policy import ActorCritic, PolicyConfig
from actors.spaces import ActionSpec
from learners.algorithm import Batch
from learners.trpo import TRPO, TRPOConfig, conjugate_gradient

METRICS = {"policy_loss", "value_loss", "explained_variance", "entropy", "kl", "kl_step", "line_search_steps"}


def act(policy: ActorCritic, observations, advantage) -> Batch:
    """What the present policy does, judged by `advantage(observations, actions)`."""
    with torch.no_grad():
        head = policy.head(observations)
        if policy.action.discrete:
            actions = torch.distributions.Categorical(logits=head).sample()
        else:
            actions = torch.normal(head, policy.log_std.exp().expand_as(head))
        log_probs, values = policy.log_prob(head, actions), policy.values(observations)
    advantages = advantage(observations, actions)
    return Batch(observations, actions, log_probs, advantages, torch.sin(observations[:, 0]), values)


def prefer(observations, actions):
    """A bandit: copy the observation's first numbers, or choose the largest of the first four."""
    if actions.dtype == torch.int64:
        return (actions == observations[:, :4].argmax(1)).float()
    return -(actions - observations[:, :3]).square().sum(1)


def mean_kl(old: ActorCritic, new: ActorCritic, observations) -> float:
    with torch.no_grad():
        log_std = None if old.action.discrete else old.log_std
        return float(new.kl(old.head(observations), log_std, new.head(observations)).mean())


def flat(tensors) -> torch.Tensor:
    return torch.cat([t.reshape(-1) for t in tensors])


def test_conjugate_gradient_is_the_direct_solution():
    root = torch.randn(20, 20, dtype=torch.float64)
    matrix, right = root @ root.T + torch.eye(20), torch.randn(20, dtype=torch.float64)
    solution = conjugate_gradient(lambda x: matrix @ x, right, iterations=100)
    torch.testing.assert_close(solution, torch.linalg.solve(matrix, right), rtol=1e-4, atol=1e-5)


def test_conjugate_gradient_of_nothing_is_nothing():
    assert conjugate_gradient(lambda x: x, torch.zeros(3), iterations=10).tolist() == [0, 0, 0]


def test_the_step_is_the_natural_gradient_of_length_max_kl():
    """Against the explicit Fisher matrix E[score score^T] of a categorical policy, solved directly."""
    policy = ActorCritic(PolicyConfig(hidden=(3,)), (2,), ActionSpec(0, 3)).double()
    observations = torch.randn(50, 2, dtype=torch.float64)
    batch = act(policy, observations, lambda o, a: (a == (o[:, 0] > 0)).double())
    parameters = list(policy.actor.parameters())
    fisher = 0.1 * torch.eye(21, dtype=torch.float64)
    log_p = torch.log_softmax(policy.head(observations), -1)
    for row in log_p:
        for choice in row:
            score = flat(torch.autograd.grad(choice, parameters, retain_graph=True))
            fisher += choice.exp().detach() / 50 * torch.outer(score, score)
    advantages = (batch.advantages - batch.advantages.mean()) / batch.advantages.std(correction=0)
    chosen = log_p.gather(1, batch.actions.unsqueeze(1)).squeeze(1)
    gradient = flat(torch.autograd.grad((chosen * advantages).mean(), parameters))
    direction = torch.linalg.solve(fisher, gradient)
    expected = direction * (2 * 1e-6 / (direction @ fisher @ direction)).sqrt()
    before = flat(parameters).detach().clone()
    trpo = TRPO(TRPOConfig(max_kl=1e-6, cg_iterations=50, entropy=0.0, value_epochs=0), policy, seed=0)
    assert trpo.update(batch, 0.0)["line_search_steps"] == 1
    torch.testing.assert_close(flat(parameters).detach() - before, expected, rtol=1e-3, atol=1e-8)


@pytest.mark.parametrize("max_kl", [1e-4, 0.01, 0.3])
def test_kl_never_exceeds_the_limit_and_the_task_is_learned(policy, max_kl):
    trpo = TRPO(TRPOConfig(max_kl=max_kl), policy, seed=0)
    observations = torch.randn(300, 5)
    start = act(policy, observations, prefer).advantages.mean()
    for _ in range(12):
        before = copy.deepcopy(policy)
        metrics = trpo.update(act(policy, observations, prefer), 0.0)
        assert set(metrics) == METRICS
        kl = mean_kl(before, policy, observations)
        assert kl == pytest.approx(metrics["kl_step"], abs=1e-6)
        assert kl <= max_kl + 1e-6
    if max_kl > 1e-3:
        assert act(policy, observations, prefer).advantages.mean() > start + 0.1


@pytest.mark.parametrize(("max_kl", "backtracks"), [(1e-30, 3), (1e6, 0)], ids=["lost in rounding", "far too far"])
def test_where_no_step_improves_the_policy_is_left_as_it_was(policy, batch, max_kl, backtracks):
    before = policy.export(0).vector
    trpo = TRPO(TRPOConfig(max_kl=max_kl, backtracks=backtracks, value_epochs=0), policy, seed=0)
    metrics = trpo.update(batch, 0.0)
    assert metrics["kl_step"] == 0
    assert metrics["line_search_steps"] == backtracks + 1
    assert (policy.export(0).vector == before).all()


def test_without_a_gradient_there_is_no_step(policy, batch):
    level = Batch(
        batch.observations, batch.actions, batch.log_probs, torch.zeros(batch.size), batch.targets, batch.values
    )
    before = [p.detach().clone() for p in policy.actor.parameters()]
    metrics = TRPO(TRPOConfig(entropy=0.0), policy, seed=0).update(level, 0.0)
    assert (metrics["kl_step"], metrics["line_search_steps"]) == (0, 0)
    assert all(torch.equal(a, b) for a, b in zip(before, policy.actor.parameters(), strict=True))


def test_the_entropy_bonus_alone_raises_entropy(policy, batch):
    level = Batch(
        batch.observations, batch.actions, batch.log_probs, torch.zeros(batch.size), batch.targets, batch.values
    )
    before = policy.entropy(policy.head(batch.observations)).mean().item()
    assert TRPO(TRPOConfig(entropy=0.01), policy, seed=0).update(level, 0.0)["entropy"] > before


def test_the_critic_is_fitted_and_only_the_critic_by_adam(policy):
    observations = torch.randn(300, 5)
    batch = act(policy, observations, lambda o, a: torch.zeros(len(o)))
    trpo = TRPO(TRPOConfig(entropy=0.0, value_learning_rate=1e-2), policy, seed=0)
    actor = [p.detach().clone() for p in policy.actor.parameters()]
    losses = [trpo.update(batch, 0.0)["value_loss"] for _ in range(5)]
    assert losses[-1] < 0.5 * losses[0]
    assert all(torch.equal(a, b) for a, b in zip(actor, policy.actor.parameters(), strict=True))


def test_no_minibatch_of_the_critic_is_a_small_remainder(monkeypatch, policy, batch):
    trpo, seen = TRPO(TRPOConfig(value_minibatch=64, value_epochs=1), policy, seed=0), []
    backward = trpo._critic.backward
    monkeypatch.setattr(trpo._critic, "backward", lambda error: (seen.append(len(error)), backward(error)))
    trpo.update(batch, 0.0)
    assert seen == [66, 67, 67]


def test_a_saved_trpo_continues_bit_for_bit(policy, batch):
    trpo = TRPO(TRPOConfig(), policy, seed=3)
    trpo.update(batch, 0.0)
    twin_policy = copy.deepcopy(policy)
    twin = TRPO(TRPOConfig(), twin_policy, seed=99)
    twin.load_state_dict(copy.deepcopy(trpo.state_dict()))
    assert trpo.update(batch, 0.1) == twin.update(batch, 0.1)
    assert (policy.export(0).vector == twin_policy.export(0).vector).all()


def test_a_rate_that_was_changed_meanwhile_is_the_one_that_is_used(policy, batch):
    trpo = TRPO(TRPOConfig(value_learning_rate=1e-2), policy, seed=3)
    trpo.update(batch, 0.0)
    state = copy.deepcopy(trpo.state_dict())
    still = TRPO(TRPOConfig(value_learning_rate=1e-30), policy, seed=3)
    still.load_state_dict(state)
    before = copy.deepcopy(policy.critic.state_dict())
    still.update(batch, 0.1)
    assert all(torch.allclose(before[name], value) for name, value in policy.critic.state_dict().items())
