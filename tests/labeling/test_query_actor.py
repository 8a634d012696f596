from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from actors.clips import ClipCutter, cut_clips
from actors.policy import ActorCritic, PolicyConfig
from actors.rollout import RolloutConfig, RolloutWorker
from actors.tasks import Task, make_task
from actors.trajectory import Hidden, Rollout
from labeling.oracle import OracleConfig, SyntheticLabeler
from labeling.pair_chooser import PairChooser
from labeling.people import SyntheticPool
from labeling.practice import Practice
from labeling.query_actor import QueryActor, QueryConfig
from labeling.queue import QueryQueue
from labeling.schedule import LabelSchedule
from reward_service.codec import encode_clip
from reward_service.comparisons import Query
from reward_service.database import ComparisonDatabase
from reward_service.ensemble import EnsembleConfig, RewardEnsemble, disagreement
from reward_service.snapshot import RewardSnapshot, SnapshotReader

pytestmark = pytest.mark.redis

NETWORKS = EnsembleConfig(members=3, hidden=(16,))
SCHEDULE = LabelSchedule(total_labels=40, total_steps=10_000)


@pytest.fixture(name="task", scope="module")
def _task() -> Task:
    return make_task("pendulum")


@pytest.fixture(name="block", scope="module")
def _block(task: Task) -> tuple[Rollout, Hidden]:
    return block_of(task, num_envs=4)


def block_of(task: Task, num_envs: int) -> tuple[Rollout, Hidden]:
    worker = RolloutWorker(task, PolicyConfig(), RolloutConfig(num_envs, steps=60), worker=0, seed=0)
    return worker.step(ActorCritic(PolicyConfig(), task.observation_shape, task.action).export(0))


def ensemble_of(task: Task) -> RewardEnsemble:
    random = torch.Generator().manual_seed(0)
    return RewardEnsemble(NETWORKS, task.observation_shape, task.action, generator=random)


def actor_on(database: ComparisonDatabase, task: Task, **config: object) -> QueryActor:
    return made_actor(database, task, QueryConfig(**config))  # type: ignore[arg-type]


def made_actor(
    database: ComparisonDatabase, task: Task, config: QueryConfig, schedule: LabelSchedule = SCHEDULE, **kwargs: Any
) -> QueryActor:
    chooser = PairChooser(config, SnapshotReader(database.snapshots, ensemble_of(task)), kwargs.pop("seed", 0))
    cutter = ClipCutter(task.preset.clip_steps, task.action)
    return QueryActor(config, cutter, schedule, database, chooser, **kwargs)


def test_it_cannot_ask_before_it_has_seen_two_clips(database: ComparisonDatabase, task: Task) -> None:
    metrics = actor_on(database, task).step()
    assert metrics["labels_due"] == 10
    assert metrics["queries_asked"] == 0
    assert database.counts()["queries"] == 0


def test_a_clip_that_comes_again_is_never_asked_about_against_itself(
    database: ComparisonDatabase, task: Task, block: tuple[Rollout, Hidden]
) -> None:
    """An agent that has settled does the same again in a world without chance."""
    actor = actor_on(database, task, selection="random", gold_fraction=0.0)
    for _ in range(3):
        actor.observe(*block, agent_steps=0)
    clips = cut_clips(*block, task.preset.clip_steps, task.action)
    assert [clip.clip_id for clip in actor._clips] == [clip.clip_id for clip in clips]
    assert actor.step()["queries_asked"] == 10


def test_what_a_full_store_refuses_is_counted_among_the_figures(
    database: ComparisonDatabase, task: Task, block: tuple[Rollout, Hidden]
) -> None:
    clips = cut_clips(*block, task.preset.clip_steps, task.action)
    small = ComparisonDatabase(database.client, database.run_id, clip_budget_bytes=4 * len(encode_clip(clips[0])))
    actor = actor_on(small, task)
    assert actor.step()["clips_refused"] == 0
    actor.observe(*block, agent_steps=0)
    assert 0 < actor.step()["queries_asked"] < 10
    metrics = actor.step()
    assert metrics["queries_refused"] > 0
    assert metrics["clips_dropped"] + metrics["clips_refused"] > 0


def test_it_asks_as_many_as_are_due_and_not_again(
    database: ComparisonDatabase, task: Task, block: tuple[Rollout, Hidden]
) -> None:
    actor = actor_on(database, task)
    actor.observe(*block, agent_steps=0)
    metrics = actor.step()
    assert metrics["queries_asked"] == metrics["queries_open"] == 10
    assert math.isnan(metrics["disagreement_asked"])  # no reward model yet
    assert actor.step()["queries_asked"] == 0  # they wait for a labeler; that is no reason to ask more
    queue = QueryQueue(database.client, database.run_id)
    assert SyntheticLabeler(OracleConfig(), queue, database, seed=0).step() == 10
    assert actor.step()["queries_asked"] == 0
    actor.reach(10_000)
    metrics = actor.step()
    assert metrics["labels"] == 10
    assert metrics["queries_asked"] == metrics["queries_open"] == 29  # one was drawn that has its answer
    assert actor.step()["queries_open"] == 30


def test_no_more_queries_wait_than_max_open(
    database: ComparisonDatabase, task: Task, block: tuple[Rollout, Hidden]
) -> None:
    actor = actor_on(database, task, max_open=3)
    actor.observe(*block, agent_steps=0)
    assert actor.step()["queries_open"] == 3
    assert actor.step()["queries_asked"] == 0


def test_with_a_reward_model_it_asks_where_the_members_disagree(
    database: ComparisonDatabase, task: Task, block: tuple[Rollout, Hidden]
) -> None:
    ensemble = ensemble_of(task)
    database.snapshots.put(4, RewardSnapshot.capture(ensemble, 4).to_bytes())
    actor = actor_on(database, task)
    actor.observe(*block, agent_steps=0)
    metrics = actor.step()
    assert metrics["disagreement_asked"] > metrics["disagreement_unasked"] > 0

    queue = QueryQueue(database.client, database.run_id)
    lease = queue.claim("ada")
    assert lease is not None
    query = database.get_query(lease.query_id)
    assert query is not None
    assert query.reward_version == 4
    clips = database.clips.get([query.left, query.right])
    # A slow twin: each member's preference for this one pair, and their variance.
    with torch.no_grad():
        sums = [
            ensemble.member_rewards(
                torch.from_numpy(clips[side].segment.observations), torch.from_numpy(clips[side].segment.actions)
            ).sum(1)
            for side in (query.left, query.right)
        ]
    preferences = [1 / (1 + math.exp(float(right - left))) for left, right in zip(*sums, strict=True)]
    expected = disagreement(torch.stack(sums, 1).unsqueeze(1)).item()
    assert query.disagreement == pytest.approx(expected, rel=1e-4)
    assert query.disagreement == pytest.approx(float(np.var(preferences)), rel=1e-3)


def test_the_same_seed_asks_the_same_and_a_state_goes_on(
    database: ComparisonDatabase, task: Task, block: tuple[Rollout, Hidden], tmp_path: Path
) -> None:
    first, second = actor_on(database, task), actor_on(database, task)
    first.observe(*block, agent_steps=5)
    second.load_state_dict(first.state_dict())
    second.observe(*block, agent_steps=0)
    assert first.step()["queries_asked"] > 0
    asked = database.counts()["queries"]
    second.step()
    assert database.counts()["queries"] == asked  # ids follow from the pairs: offered twice is one query


def test_what_was_asked_before_is_not_counted_as_asked_and_others_are_asked_in_its_place(
    database: ComparisonDatabase, task: Task, block: tuple[Rollout, Hidden]
) -> None:
    first, second = actor_on(database, task), actor_on(database, task)
    queue = QueryQueue(database.client, database.run_id)
    first.observe(*block, agent_steps=0)
    first.step()
    for query in queries_of(database):
        queue.withdraw(query.query_id)
    second.observe(*block, agent_steps=0)
    metrics = second.step()
    assert (metrics["queries_asked"], metrics["queries_open"]) == (0, 0)
    assert second.step()["queries_open"] > 0


def test_what_is_forgotten_is_not_asked_about(
    database: ComparisonDatabase, task: Task, block: tuple[Rollout, Hidden]
) -> None:
    actor = actor_on(database, task)
    actor.observe(*block, agent_steps=0)
    actor.forget()
    assert actor.step()["queries_asked"] == 0


def queries_of(database: ComparisonDatabase) -> list[Query]:
    """All that was asked, the most wanted first; given to nobody."""
    ids = database.client.zrevrange(f"{database.prefix}queries:open", 0, -1)
    found = [database.get_query(query_id.decode()) for query_id in ids]  # type: ignore[union-attr]
    return [query for query in found if query is not None]


@pytest.mark.parametrize("scored", [False, True])
def test_some_queries_are_gold_and_nothing_shows_it(database: ComparisonDatabase, task: Task, scored: bool) -> None:
    block = block_of(task, num_envs=20)
    if scored:
        database.snapshots.put(4, RewardSnapshot.capture(ensemble_of(task), 4).to_bytes())
    actor = actor_on(database, task, gold_fraction=0.3)
    actor.observe(*block, agent_steps=10_000)
    assert actor.step()["queries_asked"] == 40
    asked = queries_of(database)
    clips = database.clips.get({clip for query in asked for clip in (query.left, query.right)})
    gaps = [clips[query.left].true_return - clips[query.right].true_return for query in asked]
    gold = [query.gold for query in asked]
    assert 6 <= sum(map(bool, gold)) <= 20
    assert all(side == "" or side == ("left" if gap > 0 else "right") for side, gap in zip(gold, gaps, strict=True))
    spread = np.std([clip.true_return for clip in cut_clips(*block, task.preset.clip_steps, task.action)])
    assert min(abs(gap) for side, gap in zip(gold, gaps, strict=True) if side) >= 2 * spread
    places = [place for place, side in enumerate(gold) if side]
    assert places[0] < 15  # not all last, as their own disagreement would put them
    assert places[-1] >= 25
    assert scored != any(math.isnan(query.disagreement) for query in asked)


def test_no_query_is_gold_where_the_run_wants_none(
    database: ComparisonDatabase, task: Task, block: tuple[Rollout, Hidden]
) -> None:
    actor = actor_on(database, task, gold_fraction=0.0)
    actor.observe(*block, agent_steps=10_000)
    actor.step()
    assert {query.gold for query in queries_of(database)} == {""}
    with pytest.raises(ValueError, match="gold_fraction"):
        QueryConfig(gold_fraction=1.5)


def test_queries_that_several_answer_are_asked_less_often(
    database: ComparisonDatabase, task: Task, block: tuple[Rollout, Hidden]
) -> None:
    actor = made_actor(database, task, QueryConfig(), dataclasses.replace(SCHEDULE, overlap=3))
    actor.observe(*block, agent_steps=0)
    assert actor.step()["queries_asked"] == 4  # ten labels are due
    queue = QueryQueue(database.client, database.run_id)
    assert SyntheticPool(["perfect"] * 4, queue, database, seed=0).step() == 12
    assert actor.step()["queries_asked"] == 0


def test_nobody_is_asked_about_what_is_kept_for_practice(
    database: ComparisonDatabase, task: Task, block: tuple[Rollout, Hidden]
) -> None:
    """Not by the actor that kept it, nor by one that takes its place and is shown the same behaviour once more."""
    practice, kept = Practice(database.client, database.run_id), frozenset[str]()
    for turn in range(2):
        actor = made_actor(database, task, QueryConfig(selection="random"), seed=turn, practice=practice)
        for _ in range(2):
            actor.observe(*block, agent_steps=0)
            actor.reach(5_000 * (turn + 1))
            actor.step()
        kept = kept or practice.keep(database, [])
        assert practice.keep(database, []) == kept
    asked = {clip for query in queries_of(database) for clip in (query.left, query.right)}
    assert len(kept) == 6
    assert len(asked) > 6
    assert not asked & kept


def test_without_people_nothing_is_kept_for_practice(
    database: ComparisonDatabase, task: Task, block: tuple[Rollout, Hidden]
) -> None:
    actor = actor_on(database, task)
    actor.observe(*block, agent_steps=0)
    actor.step()
    assert Practice(database.client, database.run_id).keep(database, []) == frozenset()
