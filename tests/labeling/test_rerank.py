from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from actors.clips import ClipCutter
from actors.policy import ActorCritic, PolicyConfig
from actors.rollout import RolloutConfig, RolloutWorker
from actors.tasks import make_task
from actors.trajectory import Clip, Segment
from labeling.pair_chooser import PairChooser
from labeling.query_actor import QueryActor, QueryConfig
from labeling.queue import Lease, QueryQueue, Rank, Waiting
from labeling.rerank import BATCH_QUERIES, Reranker
from labeling.schedule import LabelSchedule
from reward_service.comparisons import Answer, Query
from reward_service.database import ComparisonDatabase
from reward_service.ensemble import EnsembleConfig, RewardEnsemble, disagreement
from reward_service.snapshot import RewardSnapshot, SnapshotReader
from tests.labeling.pool import damage

pytestmark = pytest.mark.redis

Array = np.ndarray


def clip(name: str, worth: float) -> Clip:
    """A clip whose pairs disagree by the mean of their `worth`: see `by_worth`."""
    return Clip(
        name, Segment(np.full((1, 1), worth, np.float32), np.zeros((1, 1), np.float32)), np.zeros((1, 0)), 0.0, 0
    )


def by_worth(clips: Sequence[Clip]) -> Callable[[Array], Array]:
    worth = np.array([each.segment.observations[0, 0] for each in clips])
    return lambda pairs: worth[pairs].mean(1)


def offer(database: ComparisonDatabase, worths: Sequence[float], version: int = 1, overlap: int = 1) -> None:
    """Queries q0, q1, ... whose clips are worth what is given now; when they were asked, the first was worth most."""
    clips = [clip(f"q{n}-{side}", worth) for n, worth in enumerate(worths) for side in "lr"]
    assert all(database.clips.put(clips))
    queries = [Query(f"q{n}", f"q{n}-l", f"q{n}-r", 1 - n / len(worths), version, 0.0) for n in range(len(worths))]
    assert all(database.offer(queries, overlap=overlap))


CANDIDATES = 10
RECENT = [clip(f"recent-{n}", 0.5) for n in range(4)]


@pytest.fixture(name="queue")
def _queue(database: ComparisonDatabase) -> QueryQueue:
    return QueryQueue(database.client, database.run_id)


def query_of(database: ComparisonDatabase, query_id: str) -> Query:
    query = database.get_query(query_id)
    assert query is not None
    return query


def claim_all(queue: QueryQueue, labeler: str = "ann") -> list[str]:
    found: list[str] = []
    while (lease := queue.claim(labeler)) is not None:
        found.append(lease.query_id)
    return found


def test_what_waits_is_asked_in_the_order_of_the_newest_model(database: ComparisonDatabase, queue: QueryQueue) -> None:
    offer(database, [0.6, 0.8, 0.7])
    reranker = Reranker(queue, database, CANDIDATES)
    reranker.step(3, RECENT, by_worth)
    assert reranker.metrics() == {"queries_reranked": 3.0, "queries_withdrawn": 0.0, "query_age_versions": 2.0}
    query = query_of(database, "q1")
    assert (query.disagreement, query.reward_version) == (pytest.approx(0.8), 3)
    assert {waiting.asked_version for waiting in queue.waiting()} == {1}, "the age counts from when it was asked"
    assert claim_all(queue) == ["q1", "q2", "q0"]


def test_what_is_worth_less_than_a_new_pair_is_withdrawn_but_half_stay(
    database: ComparisonDatabase, queue: QueryQueue
) -> None:
    offer(database, [0.4, 0.3, 0.2, 0.1, 0.6])
    reranker = Reranker(queue, database, CANDIDATES)
    reranker.step(2, RECENT, by_worth)
    assert claim_all(queue) == ["q4", "q0", "q1"]
    assert reranker.metrics()["queries_withdrawn"] == 2
    assert database.num_open_queries() == 3
    assert database.client.zscore(f"{database.prefix}clips:droppable", "q3-l") is not None, "its clips may go"


def test_without_a_pair_to_replace_it_nothing_is_withdrawn(database: ComparisonDatabase, queue: QueryQueue) -> None:
    offer(database, [0.2, 0.1])
    Reranker(queue, database, CANDIDATES).step(2, RECENT[:1], by_worth)
    assert claim_all(queue) == ["q0", "q1"]


def test_a_version_is_written_once_and_an_older_one_never(database: ComparisonDatabase, queue: QueryQueue) -> None:
    offer(database, [0.9, 0.8])
    stale = [Rank("q0", 0.01, True), Rank("q1", 0.7, False)]
    assert queue.rerank(4, stale) == ["withdrawn", "ranked"]
    before: Any = [database.client.hgetall(f"{database.prefix}query:q{n}") for n in range(2)]
    assert queue.rerank(4, stale) == ["withdrawn", "ranked"], "a repeated call tells the first result"
    assert queue.rerank(4, [Rank("q1", 0.01, True)]) == ["ranked"], "and changes nothing, whatever it says"
    assert queue.rerank(3, [Rank("q1", 0.01, True)]) == ["ranked"]
    assert [database.client.hgetall(f"{database.prefix}query:q{n}") for n in range(2)] == before
    assert queue.rerank(9, [Rank("nothing", 0.5, True)]) == ["left"]
    assert claim_all(queue) == ["q1"]


def test_a_query_whose_clip_cannot_be_read_keeps_its_rank(database: ComparisonDatabase, queue: QueryQueue) -> None:
    offer(database, [0.6, 0.8, 0.7])
    damage(database, "q1-l")
    Reranker(queue, database, CANDIDATES).step(3, RECENT, by_worth)
    assert [query_of(database, f"q{n}").reward_version for n in range(3)] == [3, 1, 3]


class ClaimedMeanwhile(QueryQueue):
    """Between reading what waits and writing, a labeler takes the most wanted query."""

    def rerank(self, version: int, ranks: Sequence[Rank]) -> list[str]:
        self.lease = self.claim("bob")
        return super().rerank(version, ranks)


def test_a_query_claimed_between_scoring_and_writing_is_not_withdrawn(database: ComparisonDatabase) -> None:
    offer(database, [0.1, 0.9, 0.8, 0.7])
    queue = ClaimedMeanwhile(database.client, database.run_id)
    reranker = Reranker(queue, database, CANDIDATES)
    reranker.step(2, RECENT, by_worth)
    assert reranker.metrics()["queries_withdrawn"] == 0
    assert queue.lease is not None
    assert queue.lease.query_id == "q0"
    assert query_of(database, "q0").reward_version == 1
    assert not queue.complete(queue.lease, Answer.LEFT, "l1").surplus


def test_a_query_answered_between_scoring_and_writing_is_left(database: ComparisonDatabase, queue: QueryQueue) -> None:
    offer(database, [0.1, 0.9], overlap=2)  # it waits for a second answer all the while
    lease = queue.claim("ann")
    assert lease is not None
    assert queue.waiting() == [Waiting("q1", "q1-l", "q1-r", 1, 1)]
    queue.complete(lease, Answer.LEFT, "l1")
    assert queue.rerank(2, [Rank("q0", 0.0, True)]) == ["left"]
    queue.retract("ann", "l1", "r1")
    assert queue.rerank(2, [Rank("q0", 0.0, True)]) == ["left"], "an answer taken back was one"
    assert database.num_open_queries() == 2


def test_a_gold_query_is_ranked_as_a_new_pair_that_would_be_asked_and_never_withdrawn(
    database: ComparisonDatabase, queue: QueryQueue
) -> None:
    offer(database, [0.1, 0.9, 0.7, 0.4])
    database.client.hset(f"{database.prefix}query:q0", "gold", "left")
    recent = [clip(f"recent-{n}", worth) for n, worth in enumerate([0.2] * 5 + [0.8] * 5)]
    reranker = Reranker(queue, database, CANDIDATES)
    reranker.step(2, recent, by_worth)
    assert reranker.metrics()["queries_withdrawn"] == 1, "half of those that are not gold, and fewer"
    assert query_of(database, "q0").disagreement == 1.0, "its own, as it was asked"
    assert claim_all(queue) == ["q1", "q0", "q2"], "new pairs disagree by 0.2, 0.5 or 0.8, those that are asked by 0.8"


def test_a_gold_query_that_is_worth_nothing_is_asked_all_the_same(
    database: ComparisonDatabase, queue: QueryQueue
) -> None:
    offer(database, [0.9, 0.1])
    database.client.hset(f"{database.prefix}query:q1", "gold", "left")
    assert queue.rerank(3, [Rank("q1", 0.0, True)]) == ["ranked"]
    assert claim_all(queue) == ["q0", "q1"]


@pytest.mark.parametrize("recent", [0, 1, 4])
def test_where_only_gold_waits_it_is_ranked_once_there_are_new_pairs(
    database: ComparisonDatabase, queue: QueryQueue, recent: int
) -> None:
    offer(database, [0.1, 0.1])
    for query in ("q0", "q1"):
        database.client.hset(f"{database.prefix}query:{query}", "gold", "left")
    reranker = Reranker(queue, database, CANDIDATES)
    for _ in range(2):
        reranker.step(2, RECENT[:recent], by_worth)
    assert reranker.metrics()["queries_reranked"] == (2 if recent == 4 else 0)
    assert sorted(claim_all(queue)) == ["q0", "q1"]


def test_after_a_restart_clips_come_from_the_database_so_many_a_step(
    database: ComparisonDatabase, queue: QueryQueue
) -> None:
    offer(database, list(np.linspace(0.6, 0.9, BATCH_QUERIES + 5)))
    reranker = Reranker(queue, database, CANDIDATES)
    for ranked in (BATCH_QUERIES, BATCH_QUERIES + 5, BATCH_QUERIES + 5):
        reranker.step(2, RECENT, by_worth)
        assert reranker.metrics()["queries_reranked"] == ranked
    assert claim_all(queue)[0] == f"q{BATCH_QUERIES + 4}"


def test_a_query_whose_clips_are_gone_holds_nothing_up(database: ComparisonDatabase, queue: QueryQueue) -> None:
    offer(database, [0.7, 0.9])
    database.client.delete(f"{database.prefix}clip:q0-l")
    reranker = Reranker(queue, database, CANDIDATES)
    reranker.step(2, RECENT, by_worth)
    reranker.step(2, RECENT, by_worth)
    assert reranker.metrics()["queries_reranked"] == 1


def test_the_query_actor_replaces_what_went_stale_in_the_same_step(
    database: ComparisonDatabase, queue: QueryQueue
) -> None:
    task = make_task("pendulum")
    networks = EnsembleConfig(members=3, hidden=(16,))

    def ensemble(seed: int) -> RewardEnsemble:
        random = torch.Generator().manual_seed(seed)
        return RewardEnsemble(networks, task.observation_shape, task.action, generator=random)

    worker = RolloutWorker(task, PolicyConfig(), RolloutConfig(num_envs=4, steps=60), worker=0, seed=0)
    block = worker.step(ActorCritic(PolicyConfig(), task.observation_shape, task.action).export(0))
    schedule = LabelSchedule(total_labels=40, total_steps=10_000)
    chooser = PairChooser(QueryConfig(), SnapshotReader(database.snapshots, ensemble(0)), seed=0)
    cutter = ClipCutter(task.preset.clip_steps, task.action)
    actor = QueryActor(QueryConfig(), cutter, schedule, database, chooser, Reranker(queue, database, CANDIDATES))
    actor.observe(*block, agent_steps=0)
    database.snapshots.put(1, RewardSnapshot.capture(ensemble(1), 4).to_bytes())
    assert actor.step()["queries_withdrawn"] == 0
    held: Lease | None = queue.claim("ann")
    assert held is not None
    newest = ensemble(2)
    database.snapshots.put(2, RewardSnapshot.capture(newest, 5).to_bytes())
    metrics = actor.step()
    assert metrics["queries_open"] == 10, "as many wait as before"
    assert metrics["queries_asked"] == metrics["queries_withdrawn"] > 0
    assert metrics["queries_reranked"] + metrics["queries_withdrawn"] == 9, "not the one in somebody's hands"
    assert metrics["query_age_versions"] == 1
    assert query_of(database, held.query_id).reward_version == 1

    waiting = queue.waiting()
    assert {query.reward_version for query in waiting} == {2}
    clips = database.clips.get([waiting[0].left, waiting[0].right])
    with torch.no_grad():  # a slow twin, one pair
        returns = [
            newest.member_rewards(
                torch.from_numpy(clips[side].segment.observations), torch.from_numpy(clips[side].segment.actions)
            ).sum(1)
            for side in (waiting[0].left, waiting[0].right)
        ]
    expected = disagreement(torch.stack(returns, 1).unsqueeze(1)).item()
    assert query_of(database, waiting[0].query_id).disagreement == pytest.approx(expected, rel=1e-4)
