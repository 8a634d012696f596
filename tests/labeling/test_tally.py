"""What the tally says of a log, beside a slow count over the whole of it."""

from __future__ import annotations

import json
import random
import secrets
from statistics import median_low

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labeling.queue import QueryQueue
from labeling.tally import Tally, wilson_interval
from reward_service.comparisons import Answer, Label
from reward_service.database import START, ComparisonDatabase
from tests.labeling.pool import offer_pairs

SWAPPED = {"left": "right", "right": "left"}


def label_at_random(database: ComparisonDatabase, pairs: int, seed: int) -> None:
    """Three people answer `pairs` queries each and take every fifth answer back."""
    queue = QueryQueue(database.client, database.run_id)
    dice = random.Random(seed)
    for number in range(pairs * 3):
        labeler = ("anna", "ben", "cleo")[number % 3]
        lease = queue.claim(labeler)
        if lease is None:
            continue
        answer, label_id = dice.choice(list(Answer)), secrets.token_hex(16)
        evidence = {"response_s": dice.uniform(1, 9), "mirrored": dice.random() < 0.5}
        queue.complete(lease, answer, label_id, json.dumps(evidence) if number % 7 else "")
        if number % 5 == 0:
            queue.retract(labeler, label_id, secrets.token_hex(16))


def standing(database: ComparisonDatabase) -> list[Label]:
    log, _ = database.labels_since(START)
    gone = {label.retracts for label in log}
    return [label for label in log if label.answer is not None and label.label_id not in gone]


@pytest.mark.redis
def test_the_tally_is_that_of_a_slow_count_whenever_it_is_read(database: ComparisonDatabase) -> None:
    offer_pairs(database, 24, overlap=2)
    tally = Tally(database)
    for seed in range(2):
        label_at_random(database, 8, seed)
        tally.update()
        labels = standing(database)
        for name in ("anna", "ben", "cleo"):
            mine = [label for label in labels if label.labeler == name]
            found = tally.labelers()[name]
            evidence = [(label, json.loads(label.evidence)) for label in mine if label.evidence]
            assert found.answers == len(mine)
            assert found.median_response_s == median_low(kept["response_s"] for _, kept in evidence)
            shown = [SWAPPED.get(label.answer, label.answer) if kept["mirrored"] else label.answer
                     for label, kept in evidence]  # fmt: skip
            sided = [answer for answer in shown if answer in ("left", "right")]
            assert found.left_share is not None
            assert found.left_share[0] == pytest.approx(sided.count("left") / len(sided))
            met = [(label, other) for label in mine for other in labels
                   if other.query_id == label.query_id and other.labeler != name]  # fmt: skip
            assert found.agreement is not None, "some queries were answered twice"
            assert found.agreement[0] == pytest.approx(sum(a.answer == b.answer for a, b in met) / len(met))


@pytest.mark.redis
def test_a_tally_built_later_says_the_same(database: ComparisonDatabase) -> None:
    offer_pairs(database, 12, overlap=2)
    early = Tally(database)
    for seed in range(3):
        label_at_random(database, 2, seed)
        early.update()
    late = Tally(database)
    late.update()
    assert late.labelers() == early.labelers()
    assert late.num_given(database.now_s(), 60.0) == early.num_given(database.now_s(), 60.0) == len(standing(database))


@pytest.mark.redis
def test_answers_of_long_ago_are_no_rate(database: ComparisonDatabase) -> None:
    offer_pairs(database, 6, overlap=2)
    label_at_random(database, 2, 0)
    tally, count = Tally(database), len(standing(database))
    tally.update()
    assert tally.num_given(database.now_s() + 120, 60.0) == 0
    assert tally.num_given(database.now_s() + 120, 600.0) == count
    assert tally.num_given(database.now_s() + 700, 600.0) == 0


@pytest.mark.redis
def test_the_way_into_a_snapshot_is_timed_from_the_key_press(database: ComparisonDatabase) -> None:
    offer_pairs(database, 3)
    queue = QueryQueue(database.client, database.run_id)
    cursors = []
    for evidence in ("", '{"waited_s":30.5}', '{"waited_s":"long"}'):
        lease = queue.claim("anna")
        assert lease is not None
        cursors.append(queue.complete(lease, Answer.LEFT, secrets.token_hex(16), evidence).cursor)
    tally = Tally(database)
    tally.update()
    at_s = [int(cursor.split("-")[0]) / 1000 for cursor in cursors]
    assert tally.use_delays_s([]) == ([], 3)
    delays, waiting = tally.use_delays_s([(cursors[0], at_s[0] + 2.0), (cursors[1], at_s[1] + 5.0)])
    assert delays == pytest.approx([2.0, 35.5])
    assert waiting == 1


@given(st.integers(1, 400), st.data())
def test_wilsons_interval_holds_exactly_the_shares_that_a_score_test_does_not_reject(trials: int, data: st.DataObject):
    """The slow twin: bisection for the p at which |share - p| is z standard errors under p."""
    successes = data.draw(st.integers(0, trials))
    share = successes / trials

    def rejected(p: float) -> bool:
        return (share - p) ** 2 > 1.959963984540054**2 * p * (1 - p) / trials

    def edge(inside: float, outside: float) -> float:
        for _ in range(80):
            middle = (inside + outside) / 2
            inside, outside = (inside, middle) if rejected(middle) else (middle, outside)
        return inside

    low, high = wilson_interval(successes, trials)
    assert low == pytest.approx(edge(share, 0.0), abs=1e-9)
    assert high == pytest.approx(edge(share, 1.0), abs=1e-9)
