"""Which pairs are chosen, with a reward model of which each clip's worth is known; without Redis."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from actors.spaces import ActionSpec
from actors.trajectory import Clip, Segment
from labeling.pair_chooser import ChoiceConfig, PairChooser
from labeling.selection import candidate_pairs
from reward_service.ensemble import EnsembleConfig, RewardEnsemble
from reward_service.snapshot import NothingPublished, RewardSnapshot, SnapshotReader

ACTION = ActionSpec(1, 0, (-1.0,), (1.0,))
ENSEMBLE = RewardEnsemble(EnsembleConfig(members=3, hidden=(8,)), (1,), ACTION)


class Published:
    """One snapshot."""

    def version(self) -> int:
        return 7

    def get(self) -> tuple[int, bytes]:
        return 7, RewardSnapshot.capture(ENSEMBLE, 7).to_bytes()


def clips(count: int) -> list[Clip]:
    """Clip n shows n, and is worth n."""
    return [
        Clip(f"clip{n}", Segment(np.full((1, 1), n, np.float32), np.zeros((1, 1), np.float32)),
             np.zeros((1, 0), np.float32), float(n), 0)
        for n in range(count)
    ]  # fmt: skip


def chooser_of(source: object = None, seed: int = 0, **config: object) -> PairChooser:
    reader = SnapshotReader(source or Published(), RewardEnsemble(ENSEMBLE.config, (1,), ACTION))  # type: ignore[arg-type]
    chooser = PairChooser(ChoiceConfig(**config), reader, seed)  # type: ignore[arg-type]
    chooser.refresh()
    return chooser


def numbers(pairs: list[tuple[Clip, Clip]]) -> list[list[int]]:
    return [[int(clip.true_return) for clip in pair] for pair in pairs]


def candidates(seed: int, count: int) -> list[list[int]]:
    """Those that a chooser of this seed draws first; none of them twice, with these seeds."""
    drawn = candidate_pairs(np.random.default_rng(seed), 30, count).tolist()
    assert len({frozenset(pair) for pair in drawn}) == count
    return drawn


def test_random_selection_asks_what_is_drawn_first_though_there_is_a_reward_model() -> None:
    chosen = chooser_of(selection="random", gold_fraction=0.0, seed=1).choose(clips(30), 2)
    assert numbers(chosen.pairs) == candidates(1, 20)[:2]
    assert np.isfinite(chosen.disagreement).all()


def test_disagreement_asks_the_pairs_that_the_members_disagree_on_most() -> None:
    """Slowly: each member's preference for each candidate, and their variance."""
    chosen = chooser_of(selection="disagreement", gold_fraction=0.0, seed=1).choose(clips(30), 2)
    shown = torch.arange(30.0).view(30, 1)
    with torch.no_grad():
        worth = ENSEMBLE.member_rewards(shown, torch.zeros(30, 1)).double()
    spread = {
        (left, right): float(torch.sigmoid(worth[:, left] - worth[:, right]).var(correction=0))
        for left, right in candidates(1, 20)
    }
    best = sorted(spread, key=spread.__getitem__, reverse=True)[:2]
    assert numbers(chosen.pairs) == [list(pair) for pair in best]
    np.testing.assert_allclose(chosen.disagreement, [spread[pair] for pair in best], rtol=1e-4)
    others = [value for pair, value in spread.items() if pair not in best]
    assert chosen.unasked_disagreement == pytest.approx(np.mean(others), rel=1e-4)


def test_pictures_of_clips_are_scored_as_the_stacks_that_the_agent_saw() -> None:
    choices = ActionSpec(0, 3)
    ensemble = RewardEnsemble(EnsembleConfig(members=3, hidden=(8,), torso="small"), (4, 84, 84), choices)
    chooser = PairChooser(ChoiceConfig(), SnapshotReader(NothingPublished(), ensemble), 0)
    random = np.random.default_rng(0)
    segments = [
        Segment(random.integers(0, 256, (5 + 3, 84, 84)).astype(np.uint8), np.zeros(5, np.int64)) for _ in range(6)
    ]
    pictured = [Clip(f"clip{n}", each, np.zeros((5, 0), np.float32), 0.0, 0) for n, each in enumerate(segments)]
    with torch.no_grad():
        returns = [ensemble.clip_returns(torch.tensor(each.stacks)[None], torch.zeros(1, 5)) for each in segments]
    pairs = np.array([[0, 1], [5, 2], [3, 4]])
    obvious = [torch.sigmoid(returns[left] - returns[right]).var(correction=0).item() for left, right in pairs.tolist()]
    assert min(obvious) > 0
    np.testing.assert_allclose(chooser.scorer(pictured)(pairs), obvious, rtol=1e-3)


def test_without_a_reward_model_there_is_no_disagreement() -> None:
    chosen = chooser_of(NothingPublished(), gold_fraction=0.0).choose(clips(30), 3)
    assert len(chosen.pairs) == 3
    assert np.isnan(chosen.disagreement).all()


def test_a_gold_pair_is_wide_and_waits_where_that_would_have_for_which_it_stands() -> None:
    chosen = chooser_of(gold_fraction=1.0, seed=3).choose(clips(30), 4)
    plain = chooser_of(gold_fraction=0.0, seed=3).choose(clips(30), 4)
    assert chosen.is_gold.any()
    for (left, right), is_gold in zip(chosen.pairs, chosen.is_gold, strict=True):
        assert not is_gold or abs(left.true_return - right.true_return) >= 2 * np.std(np.arange(30))
    np.testing.assert_array_equal(chosen.priority, plain.disagreement)


def test_a_state_goes_on_with_the_same_draws() -> None:
    first, second = chooser_of(seed=1), chooser_of(seed=2)
    first.choose(clips(30), 2)
    second.load_state_dict(first.state_dict())
    assert numbers(first.choose(clips(30), 2).pairs) == numbers(second.choose(clips(30), 2).pairs)
