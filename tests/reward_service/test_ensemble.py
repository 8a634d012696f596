from __future__ import annotations

import pytest
import torch
from torch import Tensor

from actors.spaces import ActionSpec
from reward_service.ensemble import EnsembleConfig, RewardEnsemble, disagreement

BOX = ActionSpec(2, 0, (-1.0, -1.0), (1.0, 1.0))
DISCRETE = ActionSpec(0, 4)


def make(spec: ActionSpec = BOX, members: int = 3, seed: int = 1, **options: float) -> RewardEnsemble:
    config = EnsembleConfig(members=members, hidden=(16, 8))
    return RewardEnsemble(config, (5,), spec, generator=torch.Generator().manual_seed(seed), **options)


def some_steps(spec: ActionSpec, *lead: int, seed: int = 2) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    observations = 3 + 2 * torch.randn(*lead, 5, generator=generator)
    if spec.discrete:
        return observations, torch.randint(spec.num_choices, lead, generator=generator)
    return observations, 2 * torch.rand(*lead, spec.size, generator=generator) - 1


def slow_member_reward(ensemble: RewardEnsemble, member: int, observation: Tensor, action: Tensor) -> float:
    """One member, one step: plain vectors and matrices."""
    normal = ((observation - ensemble.observation_mean) / ensemble.observation_std).clamp(-10, 10)
    if ensemble.action_spec.discrete:
        choice = torch.zeros(ensemble.action_spec.num_choices)
        choice[int(action)] = 1.0
        action = choice
    hidden = torch.cat((normal, action))
    last = len(ensemble.weights) - 1
    for layer in range(last + 1):
        hidden = hidden @ ensemble.weights[layer][member] + ensemble.biases[layer][member, 0]
        if layer < last:
            hidden = torch.tensor([h if h > 0 else 0.01 * h for h in hidden.tolist()])
    return hidden.item()


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("spec", [BOX, DISCRETE], ids=["box", "discrete"])
def test_member_rewards_equal_their_slow_twin(spec: ActionSpec, members: int) -> None:
    ensemble = make(spec, members)
    observations, actions = some_steps(spec, 3, 2, 4)
    ensemble.set_input_statistics(observations.mean((0, 1, 2)), observations.std((0, 1, 2)))
    with torch.no_grad():
        rewards = ensemble.member_rewards(observations, actions)
        returns = ensemble.clip_returns(observations, actions)
        assert rewards.shape == (members, 3, 2, 4)
        assert returns.shape == (members, 3, 2)
        for e in range(members):
            for n in range(3):
                for side in range(2):
                    slow = [
                        slow_member_reward(ensemble, e, observations[n, side, t], actions[n, side, t]) for t in range(4)
                    ]
                    assert rewards[e, n, side].tolist() == pytest.approx(slow, abs=1e-5)
                    assert returns[e, n, side].item() == pytest.approx(sum(slow), abs=1e-5)


def test_each_member_may_have_its_own_inputs() -> None:
    ensemble = make()
    features = ensemble.features(*some_steps(BOX, 3, 7))
    own = ensemble.score(features)
    for e in range(3):
        assert torch.allclose(own[e], ensemble.score(features[e])[e], atol=1e-6)


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("reward_std", [1.0, 0.05])
def test_the_reward_has_zero_mean_and_the_wanted_deviation_over_the_recent_data(
    reward_std: float, members: int
) -> None:
    ensemble = make(members=members, reward_std=reward_std)
    observations, actions = some_steps(BOX, 500, 4)
    ensemble.set_output_statistics(observations, actions)
    with torch.no_grad():
        raw = ensemble.member_rewards(observations, actions).flatten(1)
        normal = (raw - ensemble.member_mean[:, None]) / ensemble.member_std[:, None]
        paid = ensemble(observations, actions)
    assert paid.shape == (500, 4)
    assert normal.mean(1).abs().max() < 1e-4
    assert torch.allclose(normal.std(1, correction=0), torch.ones(members), atol=1e-4)
    assert paid.mean().abs() < 1e-4 * reward_std
    assert paid.std(correction=0).item() == pytest.approx(reward_std, rel=1e-3)


def test_a_constant_reward_is_normalised_to_zero() -> None:
    ensemble = make()
    observations, actions = some_steps(BOX, 1)
    observations, actions = observations.expand(50, 5), actions.expand(50, 2)
    ensemble.set_output_statistics(observations, actions)
    with torch.no_grad():
        assert ensemble(observations, actions).abs().max() < 1e-5
        assert torch.isfinite(ensemble(*some_steps(BOX, 20))).all()
    ensemble.set_input_statistics(torch.zeros(5), torch.zeros(5))
    assert torch.equal(ensemble.observation_std, torch.ones(5))


def test_an_observation_far_outside_is_clipped() -> None:
    ensemble = make()
    actions = torch.zeros(2, 2)
    far = torch.tensor([[1e3] * 5, [1e9] * 5])
    with torch.no_grad():
        near, further = ensemble(far, actions).tolist()
    assert near == further


def test_members_start_independent_and_the_seed_decides() -> None:
    first, again, other = make(seed=1), make(seed=1), make(seed=9)
    assert torch.equal(first.weights[0], again.weights[0])
    assert not torch.equal(first.weights[0], other.weights[0])
    assert not torch.allclose(first.weights[0][0], first.weights[0][1])
    state = torch.get_rng_state()
    RewardEnsemble(EnsembleConfig(), (5,), BOX)
    assert torch.equal(state, torch.get_rng_state())


def test_disagreement_equals_its_slow_twin() -> None:
    returns = 3 * torch.randn(3, 6, 2, generator=torch.Generator().manual_seed(0))
    fast = disagreement(returns)
    for n in range(6):
        p = [1 / (1 + torch.exp(returns[e, n, 1] - returns[e, n, 0])).item() for e in range(3)]
        mean = sum(p) / 3
        assert fast[n].item() == pytest.approx(sum((x - mean) ** 2 for x in p) / 3, abs=1e-6)
    assert torch.equal(disagreement(returns[:1]), torch.zeros(6))


def test_candidate_pairs_index_the_returns_of_their_clips() -> None:
    ensemble = make()
    observations, actions = some_steps(BOX, 10, 6)
    pairs = torch.randint(10, (40, 2), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        by_clip = ensemble.clip_returns(observations, actions)[:, pairs]
        by_pair = ensemble.clip_returns(observations[pairs], actions[pairs])
    assert torch.allclose(by_clip, by_pair, atol=1e-5)


def test_input_noise_is_for_training_only() -> None:
    config = EnsembleConfig(hidden=(8,), input_noise=0.5)
    ensemble = RewardEnsemble(config, (5,), BOX)
    observations, actions = some_steps(BOX, 2000)
    plain, noisy = (ensemble.features(observations, actions, g) for g in (None, torch.Generator().manual_seed(0)))
    assert torch.equal(plain[:, 5:], noisy[:, 5:])
    assert (noisy - plain)[:, :5].std().item() == pytest.approx(0.5, rel=0.05)
    assert torch.equal(plain, ensemble.features(observations, actions))


@pytest.mark.parametrize("wrong", [{"members": 0}, {"hidden": ()}, {"hidden": (0,)}, {"input_noise": -1.0}])
def test_impossible_networks_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"must be at least|must name at least one layer"):
        EnsembleConfig(**wrong)  # pyright: ignore[reportArgumentType]
