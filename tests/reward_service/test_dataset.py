from __future__ import annotations

import hashlib
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from actors.spaces import ActionSpec
from actors.trajectory import Segment
from reward_service.comparisons import Answer, Comparison, Label
from reward_service.dataset import ComparisonDataset, DatasetSpec, RewardDataError, multiplicities

SPEC = ActionSpec(1, 0, (-1.0,), (1.0,))
CLIP_STEPS = 3


def comparison(n: int, answer: Answer = Answer.LEFT, query: str = "", labeler: str = "someone") -> Comparison:
    def segment(value: float) -> Segment:
        return Segment(np.full((CLIP_STEPS, 2), value, np.float32), np.full((CLIP_STEPS, 1), value, np.float32))

    label = Label(f"0-{n + 1}", f"label-{n}", query or f"query-{n}", labeler, answer, "", 0.0)
    return Comparison(label, segment(n), segment(-n), float(n), float(-n), (f"left-{n}", f"right-{n}"))


def make(members: int = 3, seed: int = 0, max_labels: int | None = None) -> ComparisonDataset:
    return ComparisonDataset(DatasetSpec(members, seed, CLIP_STEPS, (2,), SPEC, max_labels))


def filled(num: int, **options: int) -> ComparisonDataset:
    dataset = make(**options)
    for n in range(num):
        assert dataset.add(comparison(n))
    return dataset


def slow_poisson(key: str, member: int, seed: int) -> int:
    """Inverse of the cumulative Poisson(1), term by term."""
    digest = hashlib.blake2b(f"{seed}/{member}/{key}".encode(), digest_size=8).digest()
    uniform = (int.from_bytes(digest, "little") >> 11) / 2**53
    k, cumulative = 0, math.exp(-1)
    while uniform >= cumulative:
        k += 1
        cumulative += math.exp(-1) / math.factorial(k)
    return k


def test_multiplicities_equal_their_slow_twin() -> None:
    for n in range(300):
        assert multiplicities(f"q{n}", 3, 5).tolist() == [slow_poisson(f"q{n}", e, 5) for e in range(3)]


def test_a_known_draw_never_changes() -> None:
    """Written down once: if this fails, every existing run's split would be redrawn on resume."""
    assert [multiplicities(f"query-{n}", 3, 0).tolist() for n in range(4)] == [
        [2, 0, 0],
        [2, 1, 1],
        [3, 0, 2],
        [1, 0, 3],
    ]


def test_the_held_out_share_is_one_over_e_and_the_counts_are_poisson() -> None:
    num = 4000
    counts = np.stack([multiplicities(f"q{n}", 3, 1) for n in range(num)])
    for k in range(4):
        p = math.exp(-1) / math.factorial(k)
        bound = 4 * math.sqrt(p * (1 - p) / num)  # four standard deviations
        assert np.abs((counts == k).mean(0) - p).max() < bound
    both = ((counts[:, 0] == 0) & (counts[:, 1] == 0)).mean()
    assert abs(both - math.exp(-2)) < 4 * math.sqrt(math.exp(-2) / num)  # members hold out independently


def test_training_never_sees_what_is_held_out() -> None:
    dataset, generator = filled(60), torch.Generator().manual_seed(0)
    mask = dataset.validation_mask
    assert mask.shape == (3, 60)
    for _ in range(50):
        train, held_out = dataset.train_batch(generator, 32), dataset.validation_batch(generator, 32)
        assert train.shape == held_out.shape == (3, 32)
        assert not mask.gather(1, train).any()
        assert mask.gather(1, held_out).all()


def test_training_draws_in_proportion_to_the_counts() -> None:
    dataset, generator = filled(20), torch.Generator().manual_seed(0)
    rows = dataset.train_batch(generator, 40_000)
    for e in range(3):
        share = torch.bincount(rows[e], minlength=20) / 40_000
        expected = dataset.counts[:, e] / dataset.counts[:, e].sum()
        assert (share - expected).abs().max() < 0.01


def test_membership_depends_on_nothing_but_pair_member_and_seed() -> None:
    forward, backward, other = filled(30), make(), filled(30, seed=1)
    for n in reversed(range(30)):
        backward.add(comparison(n))
    assert torch.equal(forward.counts, backward.counts.flip(0))
    assert not torch.equal(forward.counts, other.counts)
    more_members = filled(30, members=5)
    assert torch.equal(forward.counts, more_members.counts[:, :3])
    again = make()
    again.add(replace(comparison(3), label=replace(comparison(3).label, label_id="second thoughts")))
    assert torch.equal(again.counts[0], forward.counts[3])  # the same pair answered anew keeps its side of the line


def test_all_answers_about_the_same_two_clips_stay_on_one_side_of_the_line() -> None:
    """Those to a marked pair, of which each labeler has a query of their own, and those with sides swapped."""
    for n in range(20):
        asked, dataset = comparison(n), make()
        dataset.add(asked)
        for name in ("ann", "bob"):
            label = replace(asked.label, label_id=f"of-{name}", query_id=f"{name}s-own", labeler=name)
            dataset.add(replace(asked, label=label))
        swapped = replace(asked.label, label_id="swapped", query_id="swapped")
        dataset.add(replace(asked, label=swapped, left=asked.right, right=asked.left, clip_ids=asked.clip_ids[::-1]))
        assert len(dataset) == 4
        assert (dataset.counts == dataset.counts[0]).all()


def test_arrays_hold_what_was_added_and_grow() -> None:
    dataset = filled(200)
    assert dataset.observations.shape == (200, 2, CLIP_STEPS, 2)
    assert dataset.actions.shape == (200, 2, CLIP_STEPS, 1)
    assert dataset.observations[150, 1, 0].tolist() == [-150.0, -150.0]
    assert dataset.true_returns[150].tolist() == [150.0, -150.0]
    assert dataset.mu[0].tolist() == [1.0, 0.0]
    assert dataset.observations.is_contiguous()


def test_ties_are_stored_incomparable_is_only_counted_and_a_label_counts_once() -> None:
    dataset = make()
    assert dataset.add(comparison(0, Answer.TIE))
    assert dataset.add(comparison(1, Answer.RIGHT))
    assert not dataset.add(comparison(2, Answer.INCOMPARABLE))
    assert not dataset.add(comparison(1, Answer.RIGHT))
    assert (len(dataset), dataset.num_incomparable) == (2, 1)
    assert dataset.mu.tolist() == [[0.5, 0.5], [0.0, 1.0]]
    assert dataset.retract("label-2")
    assert dataset.num_incomparable == 0


def test_a_retracted_label_is_gone() -> None:
    dataset, generator = filled(10), torch.Generator().manual_seed(0)
    counts = dataset.counts[9].clone()
    dataset.train_batch(generator, 4)
    assert dataset.retract("label-4")
    assert not dataset.retract("label-4")
    assert len(dataset) == 9
    assert 4.0 not in dataset.true_returns[:, 0].tolist()
    assert dataset.true_returns[4, 0] == 9.0  # the last row filled the gap, with its counts
    assert torch.equal(dataset.counts[4], counts)
    assert dataset.train_batch(generator, 1000).max() < 9
    for n in (9, 0, 1, 2, 3, 5, 6, 7, 8):
        assert dataset.retract(f"label-{n}")
    assert len(dataset) == 0
    assert not dataset.trainable.any()


def test_max_labels_keeps_the_latest() -> None:
    dataset = filled(25, max_labels=10)
    assert sorted(dataset.true_returns[:, 0].tolist()) == [float(n) for n in range(15, 25)]
    assert not dataset.retract("label-3")


def test_a_member_with_nothing_to_train_on_sits_out() -> None:
    dataset = make(members=1)
    assert not dataset.trainable.any()
    dataset.train_batch(torch.Generator(), 4)  # nothing there: still no error
    held_out = next(n for n in range(99) if multiplicities(f"left-{n}/right-{n}", 1, 0)[0] == 0)
    trained = next(n for n in range(99) if multiplicities(f"left-{n}/right-{n}", 1, 0)[0] > 0)
    dataset.add(comparison(held_out))
    assert (dataset.trainable.tolist(), dataset.measurable.tolist()) == ([False], [True])
    dataset.add(comparison(trained))
    assert dataset.trainable.tolist() == [True]
    assert set(dataset.train_batch(torch.Generator(), 50).flatten().tolist()) == {1}


def test_clips_that_do_not_fit_are_refused_with_a_sentence() -> None:
    dataset, good = make(), comparison(0)
    short = Segment(np.zeros((2, 2), np.float32), np.zeros((2, 1), np.float32))
    broken = Segment(np.full((CLIP_STEPS, 2), np.nan, np.float32), np.zeros((CLIP_STEPS, 1), np.float32))
    with pytest.raises(RewardDataError, match="label-0 compares clips with observations"):
        dataset.add(replace(good, right=short))
    with pytest.raises(RewardDataError, match="not finite"):
        dataset.add(replace(good, left=broken))
    assert len(dataset) == 0


def test_each_row_follows_how_far_its_labeler_is_believed() -> None:
    dataset = make()
    for n, name in enumerate(["ann", "bob", "ann", "eve"]):
        dataset.add(replace(comparison(n, labeler=name), gold="right" if n == 1 else "left" if n == 2 else ""))
    assert dataset.labeler_names == ["ann", "bob", "eve"]
    assert dataset.gold.tolist() == [0, -1, 1, 0]
    assert dataset.reliability.tolist() == [0.95] * 4
    dataset.believe({"ann": 0.99, "eve": 0.1})
    assert dataset.reliability.tolist() == [0.99, 0.95, 0.99, 0.1]
    dataset.add(comparison(4, labeler="eve"))
    dataset.retract("label-0")
    assert dataset.labelers.tolist() == [2, 1, 0, 2]  # the last row moved into the gap, and all of it did
    assert dataset.reliability.tolist() == [0.1, 0.95, 0.99, 0.1]
    dataset.believe({})
    assert dataset.reliability.tolist() == [0.95] * 4


def test_marked_pairs_are_gold_as_long_as_their_marks_stand() -> None:
    dataset, marked = make(), {}
    for n in range(6):
        each = replace(comparison(n), gold="left" if n < 4 else "", is_marked=n in (1, 2, 3))
        dataset.add(each)
        marked[n] = each.clip_ids
    assert dataset.num_marked == 3
    dataset.retract("label-1")
    dataset.mark({marked[2]: "right", marked[4]: "left"})  # 3 is marked no longer; 4 was asked before it was marked
    sides = {label_id: int(dataset.gold[row]) for row, label_id in enumerate(dataset._label_ids)}
    assert sides == {"label-0": 1, "label-5": 0, "label-2": -1, "label-3": 0, "label-4": 0}
    dataset.mark({marked[3]: "left"})
    sides = {label_id: int(dataset.gold[row]) for row, label_id in enumerate(dataset._label_ids)}
    assert sides == {"label-0": 1, "label-5": 0, "label-2": 0, "label-3": 1, "label-4": 0}
