import copy

import numpy as np
import pytest
import torch

from actors.frames import stacked
from actors.policy import ActorCritic, PolicyConfig
from actors.spaces import ActionSpec
from learners.a2c import A2C, A2CConfig
from learners.algorithm import Batch, LossGradient
from learners.gradient import FlatParameters
from learners.judging import judge_pictures
from learners.learner import Learner, LearnerConfig
from learners.ppo import PPO, PPOConfig
from learners.stacks import Stacks
from tests.learners.pictured import rollout

SPEC = ActionSpec(0, 4)


@pytest.fixture
def policy() -> ActorCritic:
    return ActorCritic(PolicyConfig(torso="mnih-2013"), (3, 36, 36), SPEC)


def test_stacks_are_those_of_the_pictures_in_the_order_of_the_rollout() -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (8, 2, 5, 5)).astype(np.uint8)
    seen = Stacks.of_block(torch.from_numpy(pictures), depth=3, steps=6)
    obvious = torch.from_numpy(stacked(pictures, 3).reshape(12, 3, 5, 5).copy())
    assert torch.equal(seen.stacked(), obvious)
    assert torch.equal(seen[2:5].stacked(), obvious[2:5])
    assert torch.equal(Stacks.cat([seen, seen[:4]]).stacked(), torch.cat((obvious, obvious[:4])))
    index = torch.tensor([7, 0, 7])
    assert torch.equal(seen.index_select(0, index).stacked(), obvious[index])


def test_stacks_lie_in_memory_as_convolutions_read_them_fastest() -> None:
    seen = Stacks.of_block(torch.zeros((8, 2, 5, 5), dtype=torch.uint8), depth=3, steps=6)
    for part in (seen, seen[2:9], seen.index_select(0, torch.tensor([7, 0, 7]))):
        assert part.stacked().is_contiguous(memory_format=torch.channels_last)


def test_the_gradient_through_a_torso_is_that_of_the_whole_loss(policy: ActorCritic) -> None:
    block = rollout()
    batch = Batch(
        Stacks.of_block(torch.from_numpy(block.observations), 3, 6),
        torch.from_numpy(block.actions).flatten(),
        torch.from_numpy(block.log_probs).flatten(),
        torch.randn(12),
        torch.randn(12),
        torch.randn(12),
    )
    inputs = batch.inputs(policy)
    head, values = policy.head(inputs), policy.values(inputs)
    loss = -(policy.log_prob(head, batch.actions) * batch.advantages).mean()
    loss = loss - 0.02 * policy.entropy(head).mean() + 0.7 * 0.5 * (values - batch.targets).square().mean()
    expected = torch.autograd.grad(loss, list(policy.parameters()))
    gradient = LossGradient(policy, entropy=0.02, value_coefficient=0.7)
    for _ in range(2):  # overwritten, not accumulated
        gradient.compute(batch, lambda _: -batch.advantages)
        for parameter, wanted in zip(policy.parameters(), expected, strict=True):
            torch.testing.assert_close(parameter.grad, wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("looks_once", [False, True])
def test_all_stacks_are_judged_as_the_policy_would_each_and_those_after_an_end_too(
    policy: ActorCritic, looks_once: bool
) -> None:
    blocks = [rollout(ends=((2, 1),)), rollout(worker=1), rollout(worker=2, ends=((0, 0), (5, 1)))]
    with torch.no_grad():
        judged = judge_pictures(policy, blocks, looks_once)
    for block, values in zip(blocks, judged.values, strict=True):
        ended = [
            np.stack([*block.observations[t + 1 : t + 3, env], last])
            for (t, env), last in zip(block.ends.tolist(), block.final_observations, strict=True)
        ]
        seen = np.concatenate((block.stacks.reshape(14, 3, 36, 36), np.array(ended, np.uint8).reshape(-1, 3, 36, 36)))
        with torch.no_grad():
            torch.testing.assert_close(values, policy.values(policy.normalise(torch.from_numpy(seen))))
    acted = np.concatenate([block.stacks[:-1].reshape(12, 3, 36, 36) for block in blocks])
    assert isinstance(judged.seen, Stacks)
    assert np.array_equal(judged.seen.stacked().numpy(), acted)
    assert (judged.features is not None) == looks_once
    if judged.features is not None:
        assert judged.features.requires_grad
        torch.testing.assert_close(judged.features, policy.features(policy.normalise(torch.from_numpy(acted))))


def test_a2c_learns_from_what_it_looked_at_when_it_judged_as_from_another_look(policy: ActorCritic) -> None:
    blocks, rewards = [rollout(), rollout(worker=1, ends=((5, 0),))], [torch.full((6, 2), float(r)) for r in (1, 5)]
    learned = []
    for once in (True, False):
        twin = copy.deepcopy(policy)
        algorithm = A2C(A2CConfig(learning_rate=1e-2), twin, 0)
        algorithm.looks_once = once  # False: as PPO does
        learner = Learner(LearnerConfig(), twin, algorithm)
        looks = []
        twin.torso.register_forward_hook(lambda module, seen, features, looks=looks: looks.append(len(features)))
        for _ in range(3):  # and the critic's scale moves in between
            metrics = learner.step(blocks, rewards, 0.0)
        learned.append((learner.weights().vector, metrics["value_loss"], sum(looks)))
    (kept, kept_loss, kept_looks), (again, again_loss, again_looks) = learned
    np.testing.assert_allclose(kept, again, rtol=1e-4, atol=1e-5)
    assert kept_loss == pytest.approx(again_loss, rel=1e-3)
    assert again_looks - kept_looks == 3 * 24, "24 transitions an update"


@pytest.mark.parametrize("algorithm", ["ppo", "a2c"])
def test_a_policy_of_pictures_learns_from_rollouts(policy: ActorCritic, algorithm: str) -> None:
    made = PPO(PPOConfig(epochs=2, minibatch=8), policy, 0) if algorithm == "ppo" else A2C(A2CConfig(), policy, 0)
    learner = Learner(LearnerConfig(), policy, made)
    before = learner.weights().vector
    blocks = [rollout(worker=0), rollout(worker=1, ends=((5, 0),))]
    metrics = learner.step(blocks, [torch.ones(6, 2)] * 2, 0.0)
    assert np.isfinite(list(metrics.values())).all()
    assert not np.array_equal(before, learner.weights().vector)
    other = ActorCritic(PolicyConfig(torso="mnih-2013"), (3, 36, 36), SPEC)
    other.load(learner.weights())
    block = torch.from_numpy(blocks[0].stacks[0].copy())
    torch.testing.assert_close(other.head(other.normalise(block)), policy.head(policy.normalise(block)))


def test_a_gradient_in_bfloat16_is_nearly_that_in_float32_and_adds_up_in_float32(policy: ActorCritic) -> None:
    blocks, rewards = [rollout(), rollout(worker=1)], [torch.ones(6, 2)] * 2
    gradients = []
    for precision in ("float32", "bfloat16"):
        twin = copy.deepcopy(policy)
        learner = Learner(LearnerConfig(precision=precision), twin, A2C(A2CConfig(), twin, 0))
        batch = learner._batch(blocks, rewards)
        gradient = LossGradient(twin, entropy=0.01, value_coefficient=0.5)
        gradient.compute(batch, lambda _, batch=batch: -batch.advantages)
        gradients.append(gradient.parameters.gradient.clone())
        assert {parameter.dtype for parameter in twin.parameters()} == {torch.float32}
    exact, rounded = gradients
    assert not torch.equal(exact, rounded), "nothing was rounded"
    assert (rounded - exact).norm() < 0.05 * exact.norm()


def test_parameters_of_a_torso_are_views_of_the_flat_vector(policy: ActorCritic) -> None:
    flat = FlatParameters(policy.parameters())
    flat.vector.data.zero_()
    assert all((parameter == 0).all() for parameter in policy.parameters())
