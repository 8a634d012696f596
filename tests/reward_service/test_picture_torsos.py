from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from actors.origins import Keyframe
from actors.spaces import ActionSpec
from actors.trajectory import Clip, Segment
from reward_service.codec import decode_clip, encode_clip
from reward_service.comparisons import Answer, Comparison, Label
from reward_service.dataset import ComparisonDataset, DatasetSpec, RewardDataError
from reward_service.ensemble import EnsembleConfig, RewardEnsemble
from reward_service.ensemble_config import TORSOS, pooled
from reward_service.fitting import EnsembleFit, FitConfig
from reward_service.numpy_rewards import NumpyRewards
from reward_service.recent import RecentSteps
from reward_service.snapshot import RewardSnapshot

SHAPE, SPEC, CLIP_STEPS = (4, 84, 84), ActionSpec(0, 6), 3


@pytest.fixture(params=["small", "paper"])
def ensemble(request: pytest.FixtureRequest) -> RewardEnsemble:
    generator = torch.Generator().manual_seed(1)
    config = EnsembleConfig(hidden=(8,), torso=request.param, dropout=0.0)
    made = RewardEnsemble(config, SHAPE, SPEC, generator=generator)
    for name, buffer in made.torsos.named_buffers():  # as after training
        buffer.copy_(torch.rand(buffer.shape, generator=generator) + ("variance" in name))
    return made


def stacks(*lead: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, 256, (*lead, *SHAPE), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def slow_member_rewards(
    ensemble: RewardEnsemble, member: int, seen: torch.Tensor, training: bool, dropout: torch.Generator | None = None
) -> torch.Tensor:
    """One member alone, layer after layer [R]."""
    spec, torsos = TORSOS[ensemble.config.torso], ensemble.torsos
    hidden = torch.from_numpy(pooled(seen.numpy(), spec.pool)).float() / 255
    rows = slice(member * spec.channels, (member + 1) * spec.channels)
    for layer, (_, stride) in enumerate(spec.convolutions):
        hidden = F.conv2d(hidden, torsos.weights[layer][rows], stride=stride)
        if training:
            mean, variance = hidden.mean((0, 2, 3)), hidden.var((0, 2, 3), correction=0)
        else:
            mean, variance = (torsos.get_buffer(f"{name}{layer}")[rows] for name in ("mean", "variance"))
        hidden = (hidden - mean.view(-1, 1, 1)) / (variance.view(-1, 1, 1) + 1e-5).sqrt()
        hidden = hidden * torsos.scales[layer][rows].view(-1, 1, 1) + torsos.shifts[layer][rows].view(-1, 1, 1)
        hidden = F.leaky_relu(hidden, 0.01)
        if dropout is not None:
            drawn = torch.rand(len(hidden), len(torsos.scales[layer]), generator=dropout)[:, rows]
            hidden = torch.where(drawn[:, :, None, None] < 0.5, 0.0, 2 * hidden)
    hidden = F.leaky_relu(hidden.flatten(1) @ ensemble.weights[0][member] + ensemble.biases[0][member], 0.01)
    return (hidden @ ensemble.weights[1][member] + ensemble.biases[1][member]).squeeze(1)


def test_pictures_lie_in_memory_as_convolutions_read_them_fastest(ensemble: RewardEnsemble) -> None:
    inputs = ensemble.torsos.inputs(stacks(5))
    assert inputs.is_contiguous(memory_format=torch.channels_last)
    assert not inputs.is_contiguous()


@torch.no_grad()
def test_all_members_at_once_are_each_member_alone(ensemble: RewardEnsemble) -> None:
    seen = stacks(4)
    together = ensemble.member_rewards(seen, torch.zeros(4, dtype=torch.int64))
    alone = torch.stack([slow_member_rewards(ensemble, member, seen, training=False) for member in range(3)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_in_training_statistics_are_those_of_all_pictures_of_a_members_batch(ensemble: RewardEnsemble) -> None:
    own = torch.stack([stacks(5, seed=member) for member in range(3)])  # each member its own pictures
    noise = torch.Generator().manual_seed(0)
    together = ensemble.score(ensemble.features(own, torch.empty(0)), noise)
    alone = torch.stack([slow_member_rewards(ensemble, member, own[member], training=True) for member in range(3)])
    torch.testing.assert_close(together, alone, rtol=1e-3, atol=1e-3)


@torch.no_grad()
def test_a_score_depends_on_no_other_picture_of_the_call_and_changes_no_statistics(ensemble: RewardEnsemble) -> None:
    before = {name: tensor.clone() for name, tensor in ensemble.state_dict().items()}
    actions = torch.zeros(6, dtype=torch.int64)
    alone = ensemble.member_rewards(stacks(6)[2:3], actions[:1])
    torch.testing.assert_close(ensemble.member_rewards(stacks(6), actions)[:, 2:3], alone, rtol=1e-4, atol=1e-5)
    assert all(torch.equal(before[name], tensor) for name, tensor in ensemble.state_dict().items())


def test_actions_are_not_looked_at(ensemble: RewardEnsemble) -> None:
    with torch.no_grad():
        one, other = (ensemble.member_rewards(stacks(2), torch.full((2,), action)) for action in (0, 5))
    assert torch.equal(one, other)


def test_pictures_are_pooled_to_the_same_bytes_with_and_without_torch() -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (3, 84, 84)).astype(np.uint8)
    obvious = pictures.reshape(3, 42, 2, 42, 2).astype(float).mean((2, 4))
    assert np.array_equal(pooled(pictures, 2), np.floor(obvious + 0.5))
    generator = torch.Generator().manual_seed(0)
    torsos = RewardEnsemble(EnsembleConfig(torso="small"), SHAPE, SPEC, generator=generator).torsos
    seen = torsos.inputs(torch.from_numpy(pictures)[None].repeat_interleave(4, 1)[:, :4])
    again = torsos.inputs(torch.from_numpy(pooled(pictures, 2))[None].repeat_interleave(4, 1)[:, :4])
    assert torch.equal(seen, again)


def test_pictures_of_labelled_clips_which_are_kept_pooled_are_scored_like_those_that_were_seen() -> None:
    ensemble = RewardEnsemble(EnsembleConfig(torso="small"), SHAPE, SPEC)
    seen, actions = stacks(3, 2), torch.zeros(3, 2, dtype=torch.int64)
    kept = torch.from_numpy(pooled(seen.numpy(), 2))
    with torch.no_grad():
        assert torch.equal(ensemble.member_rewards(kept, actions), ensemble.member_rewards(seen, actions))


def test_dropout_leaves_out_whole_channels_and_needs_a_generator() -> None:
    config = EnsembleConfig(torso="small", dropout=0.5)
    ensemble = RewardEnsemble(config, SHAPE, SPEC, generator=torch.Generator().manual_seed(0))
    features = ensemble.features(stacks(8), torch.empty(0))
    with torch.no_grad():
        one, same, other = (
            ensemble.torsos(features, torch.Generator().manual_seed(seed)).unflatten(2, (16, -1)) for seed in (1, 1, 2)
        )
        scored = [ensemble.torsos(features, None) for _ in range(2)]
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert 0.35 < (one == 0).all(-1).float().mean() < 0.65
    assert torch.equal(*scored)


@torch.no_grad()
@pytest.mark.parametrize("torso", ["small", "paper"])
def test_dropout_is_in_every_layer_and_doubles_what_it_leaves(torso: str) -> None:
    config = EnsembleConfig(hidden=(8,), torso=torso, dropout=0.5)  # type: ignore[arg-type]
    ensemble = RewardEnsemble(config, SHAPE, SPEC, generator=torch.Generator().manual_seed(0))
    own = torch.stack([stacks(5, seed=member) for member in range(3)])
    together = ensemble.score(ensemble.features(own, torch.empty(0)), torch.Generator().manual_seed(1))
    for member in range(3):
        alone = slow_member_rewards(ensemble, member, own[member], True, torch.Generator().manual_seed(1))
        torch.testing.assert_close(together[member], alone, rtol=1e-3, atol=1e-3)


@torch.no_grad()
def test_training_moves_the_statistics_with_which_is_scored(ensemble: RewardEnsemble) -> None:
    torsos, own = ensemble.torsos, torch.stack([stacks(5, seed=member) for member in range(3)])
    before = [[torsos.get_buffer(f"{name}{layer}").clone() for name in ("mean", "variance")] for layer in range(2)]
    ensemble.score(ensemble.features(own, torch.empty(0)), torch.Generator().manual_seed(0))
    spec, channels = TORSOS[ensemble.config.torso], TORSOS[ensemble.config.torso].channels
    for member in range(3):
        rows = slice(member * channels, (member + 1) * channels)
        seen = torch.from_numpy(pooled(own[member].numpy(), spec.pool)).float() / 255
        hidden = F.conv2d(seen, torsos.weights[0][rows], stride=spec.convolutions[0][1])
        for name, now in (("mean", hidden.mean((0, 2, 3))), ("variance", hidden.var((0, 2, 3)))):
            was = before[0][name == "variance"][rows]
            torch.testing.assert_close(torsos.get_buffer(f"{name}0")[rows], 0.9 * was + 0.1 * now)
    assert all(not torch.equal(was, torsos.get_buffer(f"mean{layer}")) for layer, (was, _) in enumerate(before))


def comparison(index: int, left: np.ndarray, right: np.ndarray, answer: Answer) -> Comparison:
    label = Label(str(index), str(index), str(index), "o", answer, "", 0.0)
    actions = np.zeros(CLIP_STEPS, np.int64)
    ids = f"left-{index}", f"right-{index}"
    return Comparison(label, Segment(left, actions), Segment(right, actions), 0.0, 0.0, ids)


def bright_or_dark(random: np.random.Generator, bright: bool) -> np.ndarray:
    """Noise with a small square that is bright or dark."""
    pictures = random.integers(100, 156, (CLIP_STEPS + 3, 84, 84)).astype(np.uint8)
    row, column = random.integers(0, 64, 2)
    pictures[:, row : row + 20, column : column + 20] = 255 if bright else 0
    return pictures


def test_a_member_learns_from_pictures_which_clip_is_better() -> None:
    random, generator = np.random.default_rng(0), torch.Generator().manual_seed(0)
    config = EnsembleConfig(members=2, hidden=(16,), torso="small", dropout=0.0)
    ensemble = RewardEnsemble(config, SHAPE, SPEC, generator=generator)
    dataset = ComparisonDataset(DatasetSpec(2, 0, CLIP_STEPS, SHAPE, SPEC, pool=ensemble.pool))
    for index in range(40):
        bright = bool(random.integers(2))
        answer = Answer.LEFT if bright else Answer.RIGHT
        dataset.add(comparison(index, bright_or_dark(random, bright), bright_or_dark(random, not bright), answer))
    assert dataset.observations.shape == (40, 2, CLIP_STEPS + 3, 42, 42)
    fit = EnsembleFit(FitConfig(batch_pairs=8, learning_rate=1e-3), ensemble, generator)
    for _ in range(30):
        fit.gradient_step(dataset)
    seen = np.stack([Segment(bright_or_dark(random, side == 0), np.zeros(3, np.int64)).stacks for side in range(2)])
    with torch.no_grad():
        returns = ensemble.clip_returns(torch.from_numpy(seen), torch.zeros(2, 3, dtype=torch.int64))
    assert (returns[:, 0] > returns[:, 1]).all()


def test_regularisation_holds_down_the_weights_of_convolutions_too() -> None:
    generator = torch.Generator().manual_seed(0)
    ensemble = RewardEnsemble(EnsembleConfig(torso="small"), SHAPE, SPEC, generator=generator)
    fit = EnsembleFit(FitConfig(l2_initial=0.5), ensemble, generator)
    weight = ensemble.torsos.weights[1]
    for each in ensemble.all_weights:
        each.grad = torch.zeros_like(each)
    fit._add_l2(torch.tensor([True, False, True]))
    torch.testing.assert_close(weight.grad[:16], weight[:16].detach())  # 2 x 0.5 x weight
    assert not weight.grad[16:32].any()


def test_a_comparison_without_the_pictures_before_its_first_step_is_refused() -> None:
    dataset = ComparisonDataset(DatasetSpec(1, 0, CLIP_STEPS, SHAPE, SPEC))
    pictures = np.zeros((CLIP_STEPS, 84, 84), np.uint8)
    with pytest.raises(RewardDataError, match="use labels only with the task"):
        dataset.add(comparison(0, pictures, pictures, Answer.LEFT))


def test_recent_steps_are_kept_as_bytes_from_several_blocks() -> None:
    recent = RecentSteps(16, SHAPE, SPEC)
    for block in range(4):
        seen = np.full((10, 4, *SHAPE), block, np.uint8)
        recent.observe(seen, np.zeros((10, 4), np.int64))
    assert recent.observations.dtype == torch.uint8
    assert set(recent.observations[:, 0, 0, 0].tolist()) == {0, 1, 2, 3}


def test_a_snapshot_carries_the_torsos_and_their_statistics(ensemble: RewardEnsemble) -> None:
    back = RewardSnapshot.from_bytes(RewardSnapshot.capture(ensemble, 3).to_bytes()).build()
    actions = torch.zeros(2, dtype=torch.int64)
    with torch.no_grad():
        assert torch.equal(back(stacks(2), actions), ensemble(stacks(2), actions))


def test_without_torch_the_same_model_pays_the_same(ensemble: RewardEnsemble) -> None:
    actions = torch.zeros(5, dtype=torch.int64)
    ensemble.set_output_statistics(stacks(20, seed=3), torch.zeros(20, dtype=torch.int64))
    without = NumpyRewards.from_bytes(RewardSnapshot.capture(ensemble, 1).to_bytes())
    with torch.no_grad():
        expected = ensemble(stacks(5), actions).numpy()
    assert without.pay(stacks(5).numpy(), actions.numpy()) == pytest.approx(expected, abs=1e-3)


def test_a_clip_of_pictures_is_small_in_storage() -> None:
    pictures = np.zeros((28, 84, 84), np.uint8)
    pictures[:, 40, 10:20] = 200
    keyframe = Keyframe(np.arange(200, dtype=np.uint8), np.array([1, 2]), np.full(27, -1))
    clip = Clip("c", Segment(pictures, np.zeros(25, np.int64)), np.empty((25, 0), np.float32), -1.0, 4, keyframe)
    data = encode_clip(clip)
    back = decode_clip(data)
    assert len(data) < 2_000
    assert np.array_equal(back.segment.stacks, clip.segment.stacks)
    assert isinstance(back.origin, Keyframe)
    assert np.array_equal(back.origin.state, keyframe.state)
    assert np.array_equal(back.origin.lead, keyframe.lead)
    assert np.array_equal(back.origin.begun, keyframe.begun)
