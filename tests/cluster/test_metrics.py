"""The two figures on which every curve rests: returns of finished episodes, and how predicted reward follows true."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from actors.trajectory import Hidden, Rollout
from cluster.metrics import EpisodeLog, SegmentLog
from tests.cluster.blank import blank_rollout

ENVS, HORIZON = 3, 7


class Blocks:
    """Rollouts of one worker, one after the other, whose environments are at different places of their episodes."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.age = np.array([0, 2, 5])
        self.steps = 0

    def next(self, steps: int, truncate: bool = True) -> tuple[Rollout, Hidden, np.ndarray]:
        truncated = np.zeros((steps, ENVS), bool)
        for t in range(steps):
            self.age += 1
            truncated[t] = truncate & (self.age >= HORIZON)
            self.age[truncated[t]] = 0
        rollout = blank_rollout(truncated, self.steps)
        self.steps += steps
        true = self.random.normal(size=(steps, ENVS)).astype(np.float32)
        return rollout, Hidden(true, np.zeros((steps, ENVS, 0), np.float32)), true * 2.0 + 1.0


def returns_slowly(collected: list[tuple[Rollout, Hidden, np.ndarray]], which: int) -> list[float]:
    """Twin: walk each environment's steps, note the sum at every end of an episode that had HORIZON steps, and put them
    in the order in which the episodes ended."""
    truncated = np.concatenate([rollout.truncated for rollout, _, _ in collected])
    rewards = np.concatenate([(hidden.true_rewards, predicted)[which] for _, hidden, predicted in collected])
    found: list[tuple[int, int, float]] = []
    for env in range(ENVS):
        total, steps = 0.0, 0
        for t in range(len(rewards)):
            total, steps = total + float(rewards[t, env]), steps + 1
            if truncated[t, env]:
                if steps == HORIZON:
                    found.append((t, env, total))
                total, steps = 0.0, 0
    return [total for _, _, total in sorted(found)]


@pytest.mark.parametrize("seed", range(5))
def test_returns_are_those_of_whole_episodes_however_they_are_cut_into_rollouts(seed: int) -> None:
    blocks = Blocks(seed)
    collected = [blocks.next(int(steps)) for steps in blocks.random.integers(1, 12, 10)]
    log = EpisodeLog(HORIZON, recent=5)
    for rollout, hidden, predicted in collected:
        log.add(rollout, hidden, predicted)
    true, predicted = returns_slowly(collected, 0), returns_slowly(collected, 1)
    summary = log.summary()
    assert summary["episodes"] == len(true) > 5
    assert summary["true_return"] == pytest.approx(np.mean(true[-5:]))
    assert summary["predicted_return"] == pytest.approx(np.mean(predicted[-5:]))


def test_before_an_episode_has_ended_there_is_no_return() -> None:
    blocks = Blocks(0)
    log = EpisodeLog(HORIZON)
    log.add(*blocks.next(2))
    assert math.isnan(log.summary()["true_return"])
    assert log.summary()["episodes"] == 0


def test_what_a_worker_had_begun_is_forgotten_when_another_takes_its_place() -> None:
    log = EpisodeLog(HORIZON)
    log.add(*Blocks(0).next(3))
    blocks = Blocks(1)  # its first step is a new process's first
    blocks.age[:] = 0
    collected = [blocks.next(HORIZON)]
    log.add(*collected[0])
    assert log.summary()["true_return"] == pytest.approx(np.mean(returns_slowly(collected, 0)))


def correlation_slowly(collected: list[Any], clip_steps: int) -> float:
    """Twin: the sums of every whole clip, one by one, and Pearson's formula."""
    pairs: list[tuple[float, float]] = []
    for _, hidden, predicted in collected:
        for start in range(0, len(predicted) - clip_steps + 1, clip_steps):
            for env in range(ENVS):
                clip = slice(start, start + clip_steps), env
                pairs.append((float(hidden.true_rewards[clip].sum()), float(predicted[clip].sum())))
    true, predicted = (np.array(side) - np.mean(side) for side in zip(*pairs, strict=True))
    return float((true * predicted).sum() / math.sqrt((true**2).sum() * (predicted**2).sum()))


def correlation(collected: list[tuple[Rollout, Hidden, np.ndarray]], clip_steps: int) -> float:
    log = SegmentLog(clip_steps)
    for rollout, hidden, predicted in collected:
        log.add(rollout, hidden, predicted)
    return log.correlation()


def noisy_blocks(blocks: Blocks, steps: Sequence[int]) -> list[tuple[Rollout, Hidden, np.ndarray]]:
    return [(r, h, p + blocks.random.normal(size=p.shape)) for r, h, p in map(blocks.next, steps)]


def test_segment_correlation_is_pearsons_over_whole_clips() -> None:
    blocks = Blocks(2)
    noisy = noisy_blocks(blocks, (11, 8))
    found = correlation(noisy, 4)
    assert 0 < found < 1
    assert found == pytest.approx(correlation_slowly(noisy, 4))
    assert correlation([blocks.next(8)], 4) == pytest.approx(1.0)


def test_rollouts_shorter_than_a_clip_are_joined() -> None:
    parts = noisy_blocks(Blocks(2), (3, 3, 3))
    true, predicted = np.concatenate([h.true_rewards for _, h, _ in parts]), np.concatenate([p for *_, p in parts])
    whole = Hidden(true, np.zeros((*true.shape, 0), np.float32))
    expected = correlation_slowly([(parts[0][0], whole, predicted)], 8)
    log = SegmentLog(8)
    log.add(*parts[0])
    log.add(*parts[1])
    assert math.isnan(log.correlation())
    log.add(*parts[2])
    assert log.correlation() == pytest.approx(expected)
    assert log.correlation() == pytest.approx(expected), "until more is known"
    log.cut()
    assert math.isnan(log.correlation())


def test_what_was_kept_of_a_worker_is_not_joined_to_what_does_not_follow() -> None:
    blocks = Blocks(2)
    first, _, third, fourth = noisy_blocks(blocks, (3, 3, 3, 3))
    assert math.isnan(correlation([first, third], 6))
    assert correlation([first, third, fourth], 6) == pytest.approx(correlation([third, fourth], 6))


def test_what_does_not_vary_correlates_with_nothing() -> None:
    rollout, hidden, predicted = Blocks(3).next(8)
    assert math.isnan(correlation([(rollout, hidden, np.ones_like(predicted))], 4))
