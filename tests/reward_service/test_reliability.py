from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from reward_service.reliability import (
    GRID,
    SHARES,
    SLOPES,
    Evidence,
    PoolReliability,
    Reliability,
    estimate,
    prior,
)

NAMES = [f"labeler-{n}" for n in range(20)]


def simulate(
    random: np.random.Generator, r: list[float], answers_each: int, slope: float = 1.0, gold: float = 0.05
) -> Evidence:
    """Labelers of known r before a model whose log-odds are right when multiplied by `slope`, and which has trained
    on a quarter of the queries."""
    num = len(r) * answers_each
    labelers = np.repeat(np.arange(len(r)), answers_each)
    log_odds = random.normal(0.0, 2.0, num)
    truth = np.where(random.random(num) < 1 / (1 + np.exp(-log_odds)), 1, -1)
    answers = np.where(random.random(num) < np.array(r)[labelers], truth, -truth)
    differences = np.where(random.random(num) < 0.25, np.nan, log_odds / slope)
    return Evidence(labelers, answers, np.where(random.random(num) < gold, truth, 0), differences)


def slow_posterior(evidence: Evidence, labeler: int, slope: float, share: float) -> tuple[list[float], float]:
    """One labeler and one answer at a time; the posterior over GRID, and the probability of the answers."""
    weights = []
    for r, weight in zip(GRID.tolist(), prior(share).tolist(), strict=True):
        for n in range(len(evidence.labelers)):
            answer, gold, difference = (float(a[n]) for a in (evidence.answers, evidence.gold, evidence.differences))
            if evidence.labelers[n] != labeler or answer == 0 or (gold == 0 and math.isnan(difference)):
                continue
            right = float(answer == gold) if gold else 1 / (1 + math.exp(-slope * answer * difference))
            weight *= r * right + (1 - r) * (1 - right)
        weights.append(weight)
    return [weight / sum(weights) for weight in weights], sum(weights)


def test_the_estimate_equals_its_slow_twin() -> None:
    evidence = simulate(np.random.default_rng(0), [1.0, 0.5, 0.0], 12, gold=0.2)
    evidence = replace(evidence, answers=np.where(np.arange(36) % 7 == 0, 0, evidence.answers))  # some ties
    shuffled = np.random.default_rng(1).permutation(36)
    found = estimate(Evidence(*(getattr(evidence, f)[shuffled] for f in vars(evidence))), NAMES, 0.05)
    best = max(
        ((slope, share) for slope in SLOPES for share in SHARES),
        key=lambda choice: (
            SHARES[choice[1]] * math.prod(slow_posterior(evidence, labeler, *choice)[1] for labeler in range(3))
        ),
    )
    assert found.slope == best[0] > 0
    for labeler in range(3):
        posterior, _ = slow_posterior(evidence, labeler, *best)
        one = found.labelers[NAMES[labeler]]
        assert one.mean == pytest.approx(sum(p * r for p, r in zip(posterior, GRID, strict=True)), abs=1e-4)
        below, between = (
            sum(p for p, r in zip(posterior, GRID, strict=True) if low < r < high)
            for low, high in ((0.0, one.low), (one.low, one.high))
        )
        assert below < 0.025
        assert between >= 0.95 > between - posterior[round(one.low * 50)] - posterior[round(one.high * 50) - 1]
        mine = evidence.labelers == labeler
        asked = mine & (evidence.gold != 0) & (evidence.answers != 0)
        assert one.gold_asked == asked.sum()
        assert one.gold_right == (asked & (evidence.gold == evidence.answers)).sum()
        assert one.num_answers == 12


@pytest.mark.parametrize("answers_each", [35, 100])
def test_intervals_hold_the_truth(answers_each: int) -> None:
    random, covered, num = np.random.default_rng(2), 0, 0
    for _ in range(15):
        r = random.choice([0.0, 0.3, 0.5, 0.8, 0.95, 1.0], 20, p=[0.1, 0.05, 0.2, 0.1, 0.15, 0.4]).tolist()
        found = estimate(simulate(random, r, answers_each, slope=0.3), NAMES, 0.05)
        for name, truth in zip(NAMES, r, strict=True):
            covered += found.labelers[name].low <= truth <= found.labelers[name].high
            num += 1
    assert covered / num >= 0.9


def test_each_kind_is_known_for_what_it_is() -> None:
    r, around_half = [1.0] * 12 + [0.5] * 5 + [0.0] * 3, []
    for seed in range(10):
        found = estimate(simulate(np.random.default_rng(seed), r, 60, slope=0.3), NAMES, 0.05)
        assert 0.2 <= found.slope <= 0.4
        kinds = [found.labelers[name] for name in NAMES]
        assert np.mean([perfect.mean for perfect in kinds[:12]]) > 0.9
        assert all(perfect.high > 0.95 for perfect in kinds[:12])
        assert all(adversary.high < 0.5 for adversary in kinds[17:])
        around_half += [spammer.low < 0.5 < spammer.high < 0.95 for spammer in kinds[12:17]]
        weightless = sum(abs(2 * mean - 1) < 0.2 for mean in found.means.values())
        assert found.excluded_share == weightless / 20
    assert np.mean(around_half) >= 0.9


@pytest.mark.parametrize("answers_each", [15, 35, 200])
def test_a_model_that_knows_nothing_makes_nobody_look_unreliable(answers_each: int) -> None:
    random = np.random.default_rng(4)
    for _ in range(10):
        evidence = simulate(random, [1.0] * 20, answers_each, gold=0.0)
        found = estimate(replace(evidence, differences=random.permutation(evidence.differences)), NAMES, 0.05)
        assert found.slope <= 0.2
        assert min(found.means.values()) > 0.75


def test_gold_alone_tells() -> None:
    nothing = np.full(12, np.nan)
    labelers, gold = np.repeat([0, 1], 6), np.tile([1, -1], 6)
    found = estimate(Evidence(labelers, np.where(labelers == 0, gold, -gold), gold, nothing), NAMES, 0.05)
    assert found.labelers["labeler-0"].low > 0.5
    assert found.labelers["labeler-1"].high < 0.5
    assert (found.labelers["labeler-0"].gold_right, found.labelers["labeler-1"].gold_right) == (6, 0)
    assert found.labelers["labeler-1"].gold_asked == 6


def test_without_evidence_everybody_is_believed_as_in_the_paper() -> None:
    assert prior(0.05) @ GRID == pytest.approx(0.95, abs=0.002)
    ties = Evidence(np.array([0, 0, 3]), np.zeros(3), np.array([1, 0, 0]), np.array([5.0, 5.0, np.nan]))
    found = estimate(ties, NAMES, 0.05)
    assert found.means == {"labeler-0": 0.95, "labeler-3": 0.95}
    assert found.slope == found.excluded_share == 0.0
    assert found.labelers["labeler-0"].gold_asked == 0
    assert estimate(Evidence(*(np.array([]) for _ in range(4))), [], 0.05) == PoolReliability({}, 0.0)


def test_one_certain_contradiction_decides_nothing() -> None:
    evidence = Evidence(np.zeros(1, np.int64), np.ones(1), np.zeros(1), np.array([-1e6]))
    assert estimate(evidence, NAMES, 0.05).labelers["labeler-0"].high > 0.9


def test_the_excluded_share_is_of_answers_and_the_status_is_json() -> None:
    pool = PoolReliability(
        {"ann": Reliability(0.97, 0.8, 1.0, 3, 3, 30), "bob": Reliability(0.41, 0.3, 0.6, 1, 3, 10)}, 0.3
    )
    told = json.loads(json.dumps(pool.status()))
    assert (told["excluded_share"], told["slope"]) == (0.25, 0.3)
    assert told["labelers"]["bob"] == {
        "reliability": 0.41, "low": 0.3, "high": 0.6, "gold_right": 1, "gold_asked": 3, "answers": 10
    }  # fmt: skip
    assert PoolReliability.from_state(pool.state_dict()) == pool


def dawid_skene(labelers: np.ndarray, queries: np.ndarray, answers: np.ndarray, num_labelers: int) -> np.ndarray:
    """r of each labeler [K] from the answers alone, by how labelers agree about the same queries: EM with one coin a
    labeler (Dawid and Skene 1979). It knows no reward model and no gold; most must be right."""
    num_queries, r = int(queries.max()) + 1, np.full(num_labelers, 0.7)
    for _ in range(200):
        log_odds = np.log(r / (1 - r))[labelers] * answers
        is_left = 1 / (1 + np.exp(-np.bincount(queries, log_odds, num_queries)))
        right = np.where(answers > 0, is_left[queries], 1 - is_left[queries])
        r = (np.bincount(labelers, right) / np.bincount(labelers)).clip(0.01, 0.99)
    return r


@pytest.mark.parametrize("seed", range(4))
def test_labelers_who_overlap_are_known_alike_from_each_other_and_from_the_model(seed: int) -> None:
    random, r = np.random.default_rng(seed), np.array([0.95] * 6 + [0.8] * 2 + [0.5] * 2 + [0.1])
    num_queries, overlap = 800, 3
    log_odds = random.normal(0.0, 2.0, num_queries)
    better = np.where(random.random(num_queries) < 1 / (1 + np.exp(-log_odds)), 1, -1)
    asked = np.array([random.choice(len(r), overlap, replace=False) for _ in range(num_queries)])
    labelers, queries = asked.ravel(), np.repeat(np.arange(num_queries), overlap)
    answers = np.where(random.random(len(queries)) < r[labelers], better[queries], -better[queries])
    gold = np.where(random.random(num_queries) < 0.05, better, 0)
    found = estimate(Evidence(labelers, answers, gold[queries], log_odds[queries]), NAMES, 0.05)
    ours = np.array([found.labelers[name].mean for name in NAMES[: len(r)]])
    theirs = dawid_skene(labelers, queries, answers, len(r))
    assert np.abs(theirs - r).max() < 0.1
    assert np.abs(ours - theirs).max() < 0.1


def test_the_usual_excluded_share_follows_slowly_what_it_was_before() -> None:
    spammer = PoolReliability({"ann": Reliability(0.5, 0.4, 0.6, 0, 0, 10)}, 1.0)
    first = spammer.following(PoolReliability({}, 0.0))
    assert (first.excluded_share, first.excluded_usual) == (1.0, 0.0)
    found = first
    for _ in range(10):
        found = spammer.following(PoolReliability.from_state(found.state_dict()))
    assert found.excluded_usual == pytest.approx(1 - 0.9**10)
    assert found.status()["excluded_usual"] == found.excluded_usual
