"""The paper's predictor counted by hand, and how it is trained: what is written here is read from the paper, not from
our tables (Christiano et al. 2017, appendix A.2)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from actors.spaces import ActionSpec
from actors.trajectory import Segment
from reward_service.comparisons import Answer, Comparison, Label
from reward_service.dataset import ComparisonDataset, DatasetSpec
from reward_service.ensemble import EnsembleConfig, RewardEnsemble
from reward_service.fitting import EnsembleFit, FitConfig

SHAPE, SPEC, CLIP_STEPS, PAIRS = (4, 84, 84), ActionSpec(0, 6), 3, 4


def stacks(*lead: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, 256, (*lead, *SHAPE), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def paper_ensemble(members: int = 1, torso: str = "paper", **options: float) -> RewardEnsemble:
    config = EnsembleConfig(members=members, hidden=(64,), torso=torso, dropout=0.0, **options)  # pyright: ignore[reportArgumentType]
    return RewardEnsemble(config, SHAPE, SPEC, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("members", [1, 3])
def test_the_papers_predictor_has_64_577_parameters(members: int) -> None:
    convolutions = 16 * 4 * 7 * 7 + 16 * 16 * 5 * 5 + 16 * 16 * 3 * 3 + 16 * 16 * 3 * 3
    batch_norm = 4 * 2 * 16  # which stands in for the convolutions' biases
    joined = 7 * 7 * 16 * 64 + 64  # 84 -> 26 -> 11 -> 9 -> 7 pixels
    scalar = 64 + 1
    assert convolutions + batch_norm + joined + scalar == 64_577
    ensemble = paper_ensemble(members)
    assert sum(parameter.numel() for parameter in ensemble.parameters()) == members * 64_577


@torch.no_grad()
def test_the_papers_predictor_is_four_convolutions_a_layer_of_64_and_a_scalar() -> None:
    ensemble = paper_ensemble()
    seen = stacks(5)
    hidden = seen.float() / 255
    sides: list[int] = []
    for weight, stride in zip(ensemble.torsos.weights, (3, 2, 1, 1), strict=True):
        hidden = F.conv2d(hidden, weight, stride=stride) / (1 + 1e-5) ** 0.5  # running statistics as they begin
        hidden = F.leaky_relu(hidden, 0.01)
        sides.append(hidden.shape[-1])
    assert [tuple(weight.shape) for weight in ensemble.torsos.weights] == [
        (16, 4, 7, 7),
        (16, 16, 5, 5),
        (16, 16, 3, 3),
        (16, 16, 3, 3),
    ]
    assert sides == [26, 11, 9, 7]
    hidden = F.leaky_relu(hidden.flatten(1) @ ensemble.weights[0][0] + ensemble.biases[0][0], 0.01)
    assert hidden.shape == (5, 64)
    reward = (hidden @ ensemble.weights[1][0] + ensemble.biases[1][0]).T
    found = ensemble.member_rewards(seen, torch.zeros(5, dtype=torch.int64))
    assert found.shape == (1, 5)
    torch.testing.assert_close(found, reward, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("torso", ["paper", "small"])
def test_noise_is_added_to_pictures_in_training_only(torso: str) -> None:
    ensemble = paper_ensemble(torso=torso, input_noise=0.25)
    plain, noisy, other = (
        ensemble.features(stacks(6), torch.empty(0), generator)
        for generator in (None, *(torch.Generator().manual_seed(seed) for seed in (1, 2)))
    )
    assert torch.equal(plain, ensemble.features(stacks(6), torch.empty(0)))
    added = noisy - plain
    assert added.shape == (6, *ensemble.feature_shape)
    assert added.mean().item() == pytest.approx(0.0, abs=0.01)
    assert added.std().item() == pytest.approx(0.25, rel=0.02)
    assert added.std(0).min() > 0, "each picture its own"
    assert not torch.equal(noisy, other)
    silent = paper_ensemble(torso=torso)
    assert torch.equal(silent.features(stacks(6), torch.empty(0), torch.Generator()), plain)


def unlike_pairs() -> ComparisonDataset:
    """The left clips are dark, the right ones bright."""
    random = np.random.default_rng(0)
    dataset = ComparisonDataset(DatasetSpec(2, 0, CLIP_STEPS, SHAPE, SPEC))
    for index in range(12):
        sides = [
            Segment(random.integers(low, low + 56, (CLIP_STEPS + 3, 84, 84)).astype(np.uint8), np.zeros(3, np.int64))
            for low in (0, 200)
        ]
        label = Label(str(index), str(index), str(index), "o", Answer.LEFT, "", 0.0)
        dataset.add(Comparison(label, *sides, 0.0, 0.0, (f"left-{index}", f"right-{index}")))
    return dataset


@torch.no_grad()
def test_both_sides_of_a_pair_share_their_batchs_statistics() -> None:
    """Each side by itself would be brought to the same mean: that one is darker could not be learned."""
    ensemble, dataset = paper_ensemble(members=2), unlike_pairs()
    fit = EnsembleFit(FitConfig(batch_pairs=PAIRS), ensemble, torch.Generator().manual_seed(0))
    rows = torch.tensor([[0, 1, 2, 3], [4, 5, 6, 7]])
    rewards, _, _ = fit.evaluate(dataset, rows, noise=torch.Generator().manual_seed(0))
    assert rewards.shape == (2, PAIRS, 2, CLIP_STEPS)

    def scored(pictures: torch.Tensor) -> torch.Tensor:
        """[E, ...] of each member's own stacks [E, ..., K, H, W] in one go, as in training."""
        features = ensemble.features(pictures.flatten(1, -4), torch.empty(0))
        return ensemble.score(features, torch.Generator().manual_seed(0)).reshape(pictures.shape[:-3])

    seen = dataset.stacks(dataset.observations[rows.flatten()]).unflatten(0, rows.shape)  # [E, pairs, 2, L, K, H, W]
    torch.testing.assert_close(rewards, scored(seen), rtol=1e-3, atol=1e-4)
    apart = torch.stack([scored(seen[:, :, side]) for side in range(2)], 2)
    assert (rewards - apart).abs().max() > 0.05
