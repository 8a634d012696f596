import math
from collections import Counter

import numpy as np
import pytest

from labeling.oracle import OracleConfig, SyntheticLabeler, answer_by_return
from labeling.queue import QueryQueue
from reward_service.comparisons import Answer, Comparison, Query
from reward_service.database import START, ComparisonDatabase
from tests.labeling.pool import one_step_clip

NEVER = (0.999, 0.5, 0.999)


def fill(database: ComparisonDatabase, num_queries: int) -> None:
    returns = np.random.default_rng(1).integers(0, 20, 2 * num_queries)
    database.clips.put(one_step_clip(f"clip{n}", float(r)) for n, r in enumerate(returns))
    assert all(
        database.offer([Query(f"q{n}", f"clip{2 * n}", f"clip{2 * n + 1}", 0.0, 0, 0.0) for n in range(num_queries)])
    )


def oracle(database: ComparisonDatabase, seed: int = 0, **options: float) -> SyntheticLabeler:
    queue = QueryQueue(database.client, database.run_id)
    return SyntheticLabeler(OracleConfig(**options), queue, database, seed)  # pyright: ignore[reportArgumentType]


def answers(database: ComparisonDatabase) -> dict[str, tuple[str, Answer | None]]:
    return {label.query_id: (label.label_id, label.answer) for label in database.labels_since(START)[0]}


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [(2.0, 1.0, Answer.LEFT), (1.0, 2.0, Answer.RIGHT), (1.0, 1.0, Answer.TIE), (math.nan, 1.0, Answer.INCOMPARABLE)],
)
def test_the_perfect_oracle_prefers_the_greater_return(left: float, right: float, expected: Answer) -> None:
    assert answer_by_return(OracleConfig(), left, right, NEVER) is expected


def test_each_teacher_errs_in_its_own_way() -> None:
    draws = (0.05, 0.5, 0.05)
    assert answer_by_return(OracleConfig(error_rate=0.1), 2, 1, draws) is Answer.RIGHT
    assert answer_by_return(OracleConfig(error_rate=0.1), 1, 2, draws) is Answer.LEFT
    assert answer_by_return(OracleConfig(error_rate=0.1), 1, 1, draws) is Answer.TIE
    assert answer_by_return(OracleConfig(skip_rate=0.1), 2, 1, draws) is Answer.INCOMPARABLE
    assert answer_by_return(OracleConfig(skip_below=3), 2, 1, draws) is Answer.INCOMPARABLE
    assert answer_by_return(OracleConfig(skip_below=2), 2, 1, draws) is Answer.LEFT
    assert answer_by_return(OracleConfig(tie_threshold=1), 2, 1, draws) is Answer.TIE
    assert answer_by_return(OracleConfig(beta=1), 2, 1, (0.5, 0.7, 0.5)) is Answer.LEFT
    assert answer_by_return(OracleConfig(beta=1), 2, 1, (0.5, 0.74, 0.5)) is Answer.RIGHT
    assert answer_by_return(OracleConfig(beta=1), -1e9, 1e9, (0.5, 0.7, 0.5)) is Answer.RIGHT


@pytest.mark.parametrize("wrong", [{"error_rate": 1.5}, {"skip_rate": -0.1}, {"tie_threshold": -1}, {"beta": math.nan}])
def test_impossible_options_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        OracleConfig(**wrong)  # pyright: ignore[reportArgumentType]


@pytest.mark.redis
def test_it_answers_what_the_queue_has_by_true_return(database: ComparisonDatabase) -> None:
    fill(database, 30)
    labeler = oracle(database)
    assert labeler.step(max_labels=10) == 10
    assert labeler.step(max_labels=64) == 20
    assert labeler.step() == 0
    comparisons = database.comparisons_since(START)[0]
    assert len(comparisons) == database.num_labels() == 30
    for comparison in comparisons:
        assert isinstance(comparison, Comparison)
        difference = comparison.left_true_return - comparison.right_true_return
        expected = Answer.LEFT if difference > 0 else Answer.RIGHT if difference < 0 else Answer.TIE
        assert comparison.label.answer is expected
        assert comparison.label.labeler == "oracle"


@pytest.mark.redis
def test_one_seed_gives_one_set_of_answers_whatever_the_order(database: ComparisonDatabase) -> None:
    options = {"error_rate": 0.3, "skip_rate": 0.2}
    found = []
    for seed, sizes in ((3, [100]), (3, [7] * 15), (4, [100])):
        other = ComparisonDatabase(database.client, f"{database.run_id}-{len(found)}")
        fill(other, 60)
        labeler = oracle(other, seed, **options)
        assert sum(labeler.step(size) for size in sizes) == 60
        found.append(answers(other))
    assert found[0] == found[1]
    assert found[0] != found[2]
    kinds = Counter(answer for _, answer in found[0].values())
    assert 2 <= kinds[Answer.INCOMPARABLE] <= 25


@pytest.mark.redis
def test_a_query_whose_clips_are_gone_is_withdrawn(database: ComparisonDatabase) -> None:
    fill(database, 2)
    database.client.delete(f"{database.prefix}clip:clip0")
    assert oracle(database).step() == 1
    assert database.num_open_queries() == 0


@pytest.mark.redis
def test_it_does_not_answer_what_it_was_made_to_take_back_for_ever(database: ComparisonDatabase) -> None:
    fill(database, 1)
    labeler = oracle(database)
    assert labeler.step() == 1
    label_id = answers(database)["q0"][0]
    QueryQueue(database.client, database.run_id).retract("oracle", label_id, "r1")
    assert labeler.step() == 0
