"""ARCHITECTURE.md, "One label, from question to reward weights": a number is known at every hop."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from actors.spaces import ActionSpec
from actors.trajectory import Clip, Segment
from labeling.queue import QueryQueue
from reward_service.comparisons import Answer, Comparison, Query
from reward_service.database import START, ComparisonDatabase
from reward_service.ensemble import EnsembleConfig, RewardEnsemble
from reward_service.snapshot import SnapshotReader
from reward_service.trainer import RewardTrainer
from reward_service.trainer_config import RewardTrainerConfig

pytestmark = pytest.mark.redis

STEPS = 3
ACTION = ActionSpec(size=1, num_choices=0, low=(-1.0,), high=(1.0,))


def clip(name: str, value: float) -> Clip:
    """A clip that always sees `value`, and truly returns three times that."""
    observations = np.full((STEPS, 1), value, np.float32)
    return Clip(
        name, Segment(observations, np.zeros((STEPS, 1), np.float32)), np.empty((STEPS, 0), np.float32), 3 * value, 5
    )


def trainer_on(database: ComparisonDatabase) -> RewardTrainer:
    config = RewardTrainerConfig(members=2, hidden=(8,), learning_rate=1e-2, gradient_steps_per_step=40)
    return RewardTrainer(config, database, (1,), ACTION, STEPS)


def test_a_label_from_the_key_press_to_the_reward_weights(database: ComparisonDatabase) -> None:
    # On the way out: both clips are stored before the query that names them is offered.
    query = Query("q1", "better", "worse", disagreement=0.2, reward_version=0, asked_at_s=0.0)
    assert database.offer([query]) == [False]
    assert database.clips.put([clip("better", 1.0), clip("worse", -1.0)]) == [True, True]
    assert database.offer([query]) == [True]
    assert database.num_open_queries() == 1

    # 1-2. The labeler holds it, and answers under an id of its own making; sent twice it counts once.
    queue = QueryQueue(database.client, database.run_id)
    lease = queue.claim("ada")
    assert lease is not None
    assert (lease.query_id, lease.left, lease.right) == ("q1", "better", "worse")
    assert not queue.complete(lease, Answer.LEFT, "answer-1").repeated
    assert queue.complete(lease, Answer.LEFT, "answer-1").repeated
    assert (database.num_labels(), database.num_open_queries()) == (1, 0)

    # 3. The log holds exactly that, joined with what was seen.
    (row,), cursor = database.comparisons_since(START)
    assert isinstance(row, Comparison)
    assert (row.label.labeler, row.label.answer, row.left_true_return, row.right_true_return) == ("ada", "left", 3, -3)
    assert database.comparisons_since(cursor) == ([], cursor)

    # The trainer reads it from its cursor, fits, and publishes version 1.
    trainer = trainer_on(database)
    metrics = trainer.step()
    while metrics["gradient_steps"] < 200 and not metrics["waiting"]:
        metrics = trainer.step()
    assert metrics["num_labels"] == 1
    assert database.snapshots.version() == trainer.version >= 1

    # 4. Whoever scores sees the newer version at the next look, and pays the better clip more.
    reader = SnapshotReader(database.snapshots, RewardEnsemble(EnsembleConfig(members=2, hidden=(8,)), (1,), ACTION))
    assert reader.refresh()
    assert reader.version == trainer.version
    assert not reader.refresh()
    seen = torch.stack([torch.full((STEPS, 1), 1.0), torch.full((STEPS, 1), -1.0)])
    with torch.no_grad():
        returns = reader.ensemble.clip_returns(seen, torch.zeros(2, STEPS, 1))  # [E, (better, worse)]
    trained = trainer.dataset.trainable  # a member that holds the one comparison out has learned nothing from it
    assert trained.any()
    assert (returns[trained, 0] > returns[trained, 1] + 1).all()


def test_an_undone_label_is_taken_out_again(database: ComparisonDatabase) -> None:
    database.clips.put([clip("better", 1.0), clip("worse", -1.0)])
    database.offer([Query("q1", "better", "worse", 0.2, 0, 0.0)])
    queue = QueryQueue(database.client, database.run_id)
    lease = queue.claim("ada")
    assert lease is not None
    queue.complete(lease, Answer.LEFT, "answer-1")
    trainer = trainer_on(database)
    assert trainer.step()["num_labels"] == 1
    queue.retract("ada", "answer-1", "undo-1")
    assert trainer.step()["num_labels"] == 0
    labels, _ = database.labels_since(START)
    assert [label.label_id for label in labels] == ["answer-1", "undo-1"]  # nothing is deleted
