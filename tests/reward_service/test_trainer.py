from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from actors.spaces import ActionSpec
from actors.trajectory import Segment
from reward_service.bootstrap import multiplicities
from reward_service.comparisons import Answer, Comparison, Label, LogItem, Retraction, Unreadable
from reward_service.database import START
from reward_service.dataset import RewardDataError
from reward_service.ensemble import EnsembleConfig, RewardEnsemble
from reward_service.fitting import RewardTrainingError, adapted_l2
from reward_service.losses import bradley_terry
from reward_service.recent import RecentSteps
from reward_service.snapshot import RewardSnapshot, SnapshotReader
from reward_service.trainer import RewardTrainer
from reward_service.trainer_config import RewardTrainerConfig

SPEC = ActionSpec(2, 0, (-1.0, -1.0), (1.0, 1.0))
CLIP_STEPS = 8
TRUE_WEIGHTS = np.array([1.0, -2.0, 0.5, 0.0], np.float32)
SCALE = np.array([1.0, 10.0, 0.1, 5.0], np.float32)  # observations come in different units
SMALL = RewardTrainerConfig(hidden=(16,), batch_pairs=8, recent_steps=256)


class Newest:
    """What the trainer and a reader ask of the snapshot store, from memory."""

    def __init__(self) -> None:
        self.newest: tuple[int, bytes] | None = None
        self.covered = START  # up to where the newest saw the log

    def put(self, version: int, payload: bytes, cursor: str = START) -> bool:
        if version <= self.version():
            return False
        self.newest = (version, payload)
        self.covered = cursor
        return True

    def get(self) -> tuple[int, bytes] | None:
        return self.newest

    def version(self) -> int:
        return self.newest[0] if self.newest else 0


class ListDatabase:
    """What the trainer asks of the comparison database, in a list."""

    def __init__(self) -> None:
        self.log: list[LogItem] = []
        self.snapshots = Newest()
        self.told: dict[str, dict[str, Any]] = {}
        self.marks: dict[tuple[str, str], str] = {}
        self.joined = 0  # times that clips were asked for

    def comparisons_since(self, cursor: str, limit: int = 1000) -> tuple[list[LogItem], str]:
        self.joined += 1
        start = int(cursor.split("-")[1])
        found = self.log[start : start + limit]
        return found, f"0-{start + len(found)}"

    def labels_since(self, cursor: str, limit: int = 1000) -> tuple[list[Label], str]:
        start = int(cursor.split("-")[1])
        found = [item.label for item in self.log[start : start + limit]]
        return found, f"0-{start + len(found)}"

    def set_status(self, component: str, status: dict[str, Any]) -> None:
        self.told[component] = status

    def status_of(self, component: str) -> dict[str, Any]:
        return self.told.get(component, {})

    def gold_marks(self) -> dict[tuple[str, str], str]:
        return self.marks

    def retract(self, label_id: str) -> None:
        label = Label(f"0-{len(self.log) + 1}", f"un-{label_id}", "q", "oracle", None, label_id, 0.0)
        self.log.append(Retraction(label))


def some_steps(rng: np.random.Generator, *lead: int) -> tuple[np.ndarray, np.ndarray]:
    observations = rng.normal(size=(*lead, 4)).astype(np.float32) * SCALE + SCALE
    return observations, rng.uniform(-1, 1, (*lead, 2)).astype(np.float32)


def true_reward(observations: np.ndarray, actions: np.ndarray) -> np.ndarray:
    return ((observations - SCALE) / SCALE) @ TRUE_WEIGHTS + actions.sum(-1)


def comparisons(num: int, seed: int = 0, start: int = 0) -> list[LogItem]:
    rng = np.random.default_rng(seed)
    made: list[LogItem] = []
    for n in range(start, start + num):
        left, right = (Segment(*some_steps(rng, CLIP_STEPS)) for _ in range(2))
        true = [float(true_reward(side.observations, side.actions).sum()) for side in (left, right)]
        answer = Answer.LEFT if true[0] > true[1] else Answer.RIGHT
        label = Label(f"0-{n + 1}", f"label-{n}", f"query-{n}", "oracle", answer, "", 0.0)
        made.append(Comparison(label, left, right, *true, (f"left-{n}", f"right-{n}")))
    return made


def make(database: ListDatabase, config: RewardTrainerConfig = SMALL, observed: bool = True) -> RewardTrainer:
    trainer = RewardTrainer(config, database, (4,), SPEC, CLIP_STEPS)
    if observed:
        trainer.observe(*some_steps(np.random.default_rng(99), 64, 4))
    return trainer


def held_out_accuracy(trainer: RewardTrainer) -> float:
    """Over every comparison that a member holds out, one member and one pair at a time."""
    data, right, judged = trainer.dataset, 0, 0
    with torch.no_grad():
        returns = trainer.ensemble.clip_returns(data.observations, data.actions)
    for e in range(data.spec.members):
        for n in range(len(data)):
            if data.counts[n, e] == 0:
                right += int((returns[e, n, 0] > returns[e, n, 1]) == (data.mu[n, 0] > data.mu[n, 1]))
                judged += 1
    return right / judged


def test_a_known_linear_reward_is_recovered() -> None:
    database = ListDatabase()
    database.log = comparisons(400)
    trainer = make(
        database, RewardTrainerConfig(hidden=(32,), batch_pairs=16, learning_rate=3e-3, gradient_steps_per_step=50)
    )
    metrics: dict[str, float] = {}
    for _ in range(12):
        metrics = trainer.step()
    observations, actions = some_steps(np.random.default_rng(7), 1000)
    with torch.no_grad():
        predicted = trainer.ensemble(torch.from_numpy(observations), torch.from_numpy(actions)).numpy()
    assert held_out_accuracy(trainer) >= 0.9
    assert metrics["validation_accuracy"] >= 0.88  # the smoothed one, on samples
    assert np.corrcoef(predicted, true_reward(observations, actions))[0, 1] >= 0.9


def test_regression_on_true_returns_learns_too() -> None:
    database = ListDatabase()
    database.log = comparisons(300)
    config = RewardTrainerConfig(hidden=(32,), learning_rate=2e-3, gradient_steps_per_step=300, target="returns")
    trainer = make(database, config)
    metrics = trainer.step()
    assert metrics["train_loss"] < 0.5  # a constant guess costs 1
    assert held_out_accuracy(trainer) >= 0.9


def test_a_step_is_what_separate_networks_would_do() -> None:
    """The slow twin of the whole gradient step: one member and one pair at a time, plain Adam, own L2."""
    database = ListDatabase()
    database.log = comparisons(20)
    trainer = make(database, replace(SMALL, gradient_steps_per_step=1, l2_initial=0.01))
    trainer.step()
    data, ensemble = trainer.dataset, trainer.ensemble
    trainer.fit.l2 = torch.tensor([0.1, 0.0, 0.02])
    rows = data.train_batch(torch.Generator().manual_seed(3), 8)
    before = [p.detach().clone() for p in ensemble.parameters()]
    slow = slow_gradients(ensemble, data.observations, data.actions, data.mu, rows, trainer.fit.l2)
    trainer._generator.manual_seed(3)  # the step that follows draws the same rows
    trainer.fit.gradient_step(data)
    for parameter, expected in zip(ensemble.parameters(), slow, strict=True):
        assert parameter.grad is not None
        assert torch.allclose(parameter.grad, expected, atol=1e-5)
    assert not any(torch.equal(p, b) for p, b in zip(ensemble.parameters(), before, strict=True))


def slow_gradients(
    ensemble: RewardEnsemble, observations: Tensor, actions: Tensor, mu: Tensor, rows: Tensor, l2: Tensor
) -> list[Tensor]:
    total = torch.zeros(())
    for e in range(len(rows)):
        losses = []
        for n in rows[e].tolist():
            returns = torch.zeros(2)
            for side in range(2):
                for t in range(CLIP_STEPS):
                    reward = ensemble.member_rewards(observations[n, side, t], actions[n, side, t])[e]
                    returns = returns + reward * torch.eye(2)[side]
            losses.append(bradley_terry(returns, mu[n]))
        total = total + torch.stack(losses).mean() + l2[e] * sum(w[e].square().sum() for w in ensemble.weights)
    return list(torch.autograd.grad(total, list(ensemble.parameters())))


def test_with_no_labels_a_step_returns_at_once_and_says_so() -> None:
    database = ListDatabase()
    trainer = make(database)
    metrics = trainer.step()
    assert (metrics["waiting"], metrics["gradient_steps"], metrics["reward_version"]) == (1.0, 0.0, 0.0)
    assert database.snapshots.newest is None
    assert not trainer.has_news()
    database.log = comparisons(10)
    asked = database.joined
    assert trainer.has_news()
    assert database.joined == asked, "no clip is fetched to find that out"
    assert trainer.step()["waiting"] == 0.0
    assert not trainer.has_news()


def test_new_labels_are_published_at_once_and_else_every_so_many_steps() -> None:
    database = ListDatabase()
    trainer = make(database, replace(SMALL, gradient_steps_per_step=2, publish_every_steps=6))
    database.log = comparisons(10)
    versions = [trainer.step()["reward_version"] for _ in range(8)]
    assert versions == [1, 1, 1, 2, 2, 2, 3, 3]
    database.log += comparisons(1, seed=1, start=10)
    assert trainer.step()["reward_version"] == 4
    assert database.snapshots.newest is not None
    snapshot = RewardSnapshot.from_bytes(database.snapshots.newest[1])
    assert (snapshot.version, snapshot.num_labels, snapshot.metrics["reward_version"]) == (4, 11, 4.0)
    assert database.snapshots.covered == "0-11"


def test_a_reader_pays_zero_mean_and_constant_deviation_on_the_recent_data() -> None:
    database = ListDatabase()
    database.log = comparisons(10)
    trainer = make(database, replace(SMALL, reward_std=0.05))
    trainer.step()
    config = EnsembleConfig(hidden=(16,))
    reader = SnapshotReader(database.snapshots, RewardEnsemble(config, (4,), SPEC))
    assert reader.refresh()
    assert reader.version == 1
    observations, actions = (torch.from_numpy(a) for a in some_steps(np.random.default_rng(99), 64, 4))
    with torch.no_grad():
        paid = reader.ensemble(observations, actions)
    assert paid.mean().abs() < 1e-5
    assert paid.std(correction=0).item() == pytest.approx(0.05, rel=1e-3)


def test_without_agent_data_the_labelled_clips_give_the_statistics() -> None:
    database = ListDatabase()
    database.log = comparisons(50)
    trainer = make(database, observed=False)
    trainer.step()
    clips = trainer.dataset.observations
    assert torch.allclose(trainer.ensemble.observation_mean, clips.mean((0, 1, 2)), atol=1e-4)
    with torch.no_grad():  # recent_steps bounds the block: the first 256 of 800 steps
        block = trainer.ensemble(clips.flatten(0, 2)[:256], trainer.dataset.actions.flatten(0, 2)[:256])
    assert block.std(correction=0).item() == pytest.approx(1.0, rel=1e-3)


def newest(database: ListDatabase) -> RewardSnapshot:
    assert database.snapshots.newest is not None
    return RewardSnapshot.from_bytes(database.snapshots.newest[1])


def pay(snapshot: RewardSnapshot, seen: tuple[np.ndarray, np.ndarray]) -> tuple[float, float]:
    """Mean and deviation of what an agent is paid for this."""
    with torch.no_grad():
        paid = snapshot.build()(*map(torch.from_numpy, seen))
    return paid.mean().item(), paid.std(correction=0).item()


def elsewhere() -> tuple[np.ndarray, np.ndarray]:
    observations, actions = some_steps(np.random.default_rng(5), 64, 4)
    return observations + 2 * SCALE, actions


@pytest.mark.parametrize("began", ["never stopped", "from a checkpoint", "from a snapshot"])
def test_a_snapshot_pays_for_recent_steps_what_the_one_before_it_paid(began: str) -> None:
    database = ListDatabase()
    database.log = comparisons(30)
    config = replace(SMALL, publish_every_steps=10)  # at every step
    trainer = make(database, config)
    trainer.step()
    before, state, seen = newest(database), trainer.state_dict(), elsewhere()
    if began != "never stopped":
        trainer = make(database, config, observed=began == "from a snapshot")
    if began == "from a snapshot":
        trainer.adopt(before)
    elif began != "never stopped":
        trainer.load_state_dict(state)
    trainer.observe(*seen)
    trainer.step()
    after = newest(database)
    assert after.version == before.version + 1
    assert pay(after, seen) == pytest.approx(pay(before, seen), rel=1e-3)


@pytest.mark.parametrize("kind", ["anchored", "recent"])
def test_only_an_anchored_reward_is_not_at_zero_mean_wherever_the_policy_goes(kind: str) -> None:
    database = ListDatabase()
    database.log = comparisons(30)
    trainer = make(database, replace(SMALL, publish_every_steps=10, normalisation=kind))
    trainer.step()
    trainer.observe(*elsewhere())
    trainer.step()
    assert (abs(pay(newest(database), elsewhere())[0]) < 1e-3) is (kind == "recent")


def test_a_trainer_started_anew_keeps_the_statistics_that_its_weights_were_trained_with() -> None:
    rng, database = np.random.default_rng(8), ListDatabase()
    database.log = comparisons(30)
    config = replace(SMALL, publish_every_steps=10)  # at every step
    first = make(database, config)
    far = some_steps(rng, 20, 4)[0] + 50 * SCALE, some_steps(rng, 20, 4)[1]  # the policy has gone elsewhere since
    first.step()
    snapshot = newest(database)
    assert snapshot.num_observed == first.recent.count == 256
    again = make(database, config, observed=False)
    again.adopt(snapshot)
    again.step()
    for name in ("observation_mean", "observation_std", "member_mean", "member_std", "output_mean", "output_std"):
        assert torch.equal(newest(database).tensors[name], snapshot.tensors[name])
    first.observe(*far)
    again.observe(*far)
    first.step()
    again.step()
    assert again.recent.count == 256 + 80
    for name in ("observation_mean", "observation_std"):
        assert torch.allclose(again.ensemble.state_dict()[name], first.ensemble.state_dict()[name], rtol=1e-4)
    assert not torch.equal(newest(database).tensors["member_mean"], snapshot.tensors["member_mean"])


def test_statistics_of_clips_are_adopted_too_until_the_agent_is_seen() -> None:
    database = ListDatabase()
    database.log = comparisons(30)
    make(database, observed=False).step()
    snapshot = newest(database)
    assert snapshot.num_observed == 0
    database.log += comparisons(30, seed=1, start=30)
    again = make(database, observed=False)
    again.adopt(snapshot)
    again.step()
    assert torch.equal(again.ensemble.observation_mean, snapshot.tensors["observation_mean"])
    buffer = io.BytesIO()
    torch.save(again.state_dict(), buffer)
    buffer.seek(0)
    resumed = make(database, observed=False)
    resumed.load_state_dict(torch.load(buffer, weights_only=True))
    resumed.step()
    assert torch.equal(resumed.ensemble.observation_mean, snapshot.tensors["observation_mean"])
    again.observe(*some_steps(np.random.default_rng(3), 20, 4))
    again.step()
    assert torch.allclose(again.ensemble.observation_mean.double(), again.recent.mean)


def test_which_comparisons_are_held_out_is_the_same_after_a_resume_and_a_restart() -> None:
    database = ListDatabase()
    database.log = comparisons(30)
    trainer = make(database)
    trainer.step()
    state, snapshot = trainer.state_dict(), newest(database)
    resumed, started_anew = make(database), make(database)
    resumed.load_state_dict(state)
    started_anew.adopt(snapshot)
    started_anew.step()
    drawn = [multiplicities(f"left-{n}/right-{n}", SMALL.members, SMALL.seed) for n in range(30)]
    for each in (trainer, resumed, started_anew):
        assert np.array_equal(each.dataset.counts.numpy(), np.stack(drawn))


def test_a_retraction_takes_the_label_out() -> None:
    database = ListDatabase()
    database.log = comparisons(10)
    trainer = make(database)
    assert trainer.step()["num_labels"] == 10
    database.retract("label-3")
    metrics = trainer.step()
    assert (metrics["num_labels"], metrics["reward_version"]) == (9, 2)  # published: the reward may have changed
    for n in (0, 1, 2, 4, 5, 6, 7, 8, 9):
        database.retract(f"label-{n}")
    metrics = trainer.step()
    assert (metrics["waiting"], metrics["num_labels"]) == (1.0, 0)


def test_the_same_seed_gives_the_same_metrics() -> None:
    runs = []
    for seed in (0, 0, 1):
        database = ListDatabase()
        database.log = comparisons(20)
        trainer = make(database, replace(SMALL, seed=seed))
        runs.append([trainer.step() for _ in range(3)])
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


@pytest.mark.parametrize(("max_labels", "pool"), [(None, False), (12, False), (None, True)])
def test_a_resumed_trainer_equals_one_that_never_stopped(max_labels: int | None, pool: bool) -> None:
    config = replace(SMALL, gradient_steps_per_step=7, input_noise=0.1, max_labels=max_labels)
    config = replace(config, reliability_every_steps=9)
    rng = np.random.default_rng(5)
    database, later = ListDatabase(), [some_steps(rng, 40, 4) for _ in range(3)]
    database.log = by_a_pool(20, gold_every=2) if pool else comparisons(20)
    trainer = make(database, config)
    trainer.step()
    database.retract("label-15")
    trainer.step()
    buffer = io.BytesIO()
    torch.save(trainer.state_dict(), buffer)
    newest_then = database.snapshots.newest
    database.log += comparisons(5, seed=3, start=20)

    def go_on(one: RewardTrainer) -> tuple[list[dict[str, float]], Any]:
        metrics = []
        for block in later:
            one.observe(*block)
            metrics.append(one.step())
        return metrics, database.snapshots.newest

    never_stopped = go_on(trainer)
    last = never_stopped[0][-1]
    assert last["num_read"] == 26, "25 answers and what took one of them back, however many are kept"
    assert last["num_labels"] == (max_labels or 24)
    database.snapshots.newest = newest_then
    buffer.seek(0)
    resumed = make(database, config, observed=False)
    resumed.load_state_dict(torch.load(buffer, weights_only=True))
    assert (resumed.dataset.reliability.min().item() < 0.5) == pool
    assert go_on(resumed) == never_stopped  # metrics and published bytes
    assert resumed.reliability == trainer.reliability
    for mine, theirs in zip(resumed.ensemble.parameters(), trainer.ensemble.parameters(), strict=True):
        assert torch.equal(mine, theirs)


KINDS = {"ann": 1.0, "bea": 1.0, "cid": 1.0, "spammer": 0.5, "adversary": 0.0}


def by_a_pool(num: int, gold_every: int = 20) -> list[Comparison | Retraction]:
    """The comparisons above, answered in turn by labelers of known reliability."""
    rng, made, names = np.random.default_rng(1), list[Comparison | Retraction](), list(KINDS)
    for n, item in enumerate(comparisons(num)):
        assert isinstance(item, Comparison)
        assert item.label.answer is not None
        name, better = names[n % len(names)], item.label.answer
        other = Answer.RIGHT if better is Answer.LEFT else Answer.LEFT
        answer = better if rng.random() < KINDS[name] else other
        gold = better.value if n % gold_every < 1 else ""
        made.append(replace(item, label=replace(item.label, labeler=name, answer=answer), gold=gold))
    return made


POOL = RewardTrainerConfig(hidden=(16,), batch_pairs=16, learning_rate=3e-3, gradient_steps_per_step=100)


def test_held_out_differences_equal_their_slow_twin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reward_service.fitting._AT_ONCE", 7)
    database = ListDatabase()
    database.log = comparisons(40)
    trainer = make(database)
    trainer.step()
    data = trainer.dataset
    fast = trainer.fit.held_out_differences(data)
    with torch.no_grad():
        returns = trainer.ensemble.clip_returns(data.observations, data.actions)
    for n in range(40):
        judges = [e for e in range(3) if data.counts[n, e] == 0]
        expected = [float(returns[e, n, 0] - returns[e, n, 1]) for e in judges]
        if judges:
            assert fast[n].item() == pytest.approx(sum(expected) / len(judges), rel=1e-4, abs=1e-5)
        else:
            assert fast[n].isnan()
    assert 0 < fast.isnan().sum() < 40


def test_a_pool_is_told_apart_and_the_reward_is_better_for_it() -> None:
    errors = {}
    for reliability in ("learned", "fixed"):
        database = ListDatabase()
        database.log = by_a_pool(400)
        trainer = make(database, replace(POOL, reliability=reliability))
        for _ in range(8):
            trainer.step()
        observations, actions = some_steps(np.random.default_rng(7), 1000)
        with torch.no_grad():
            predicted = trainer.ensemble(torch.from_numpy(observations), torch.from_numpy(actions)).numpy()
        errors[reliability] = 1 - np.corrcoef(predicted, true_reward(observations, actions))[0, 1]
        if reliability == "fixed":
            assert "reliability" not in database.told
            assert (trainer.dataset.reliability == 0.95).all()
            continue
        told = database.told["reliability"]
        assert told["slope"] > 0
        for name, r in KINDS.items():
            one = told["labelers"][name]
            assert one["low"] <= r <= one["high"]
            assert one["answers"] == 80
            rows = trainer.dataset.labelers == trainer.dataset.labeler_names.index(name)
            assert (trainer.dataset.reliability[rows] == one["reliability"]).all()
        assert told["labelers"]["adversary"]["high"] < 0.5
        assert told["labelers"]["ann"]["gold_asked"] == told["labelers"]["ann"]["gold_right"] == 20
    assert errors["learned"] < errors["fixed"] / 2


def test_a_trainer_started_anew_keeps_what_was_known_of_the_labelers() -> None:
    database = ListDatabase()
    database.log = by_a_pool(100)
    first = make(database, POOL)
    for _ in range(3):
        first.step()
    told = database.told["reliability"]
    told["excluded_usual"] = 0.07
    told = dict(told)
    again = make(database, replace(POOL, gradient_steps_per_step=10, publish_every_steps=1))
    again.adopt(newest(database))
    assert again.reliability == replace(first.reliability, excluded_usual=0.07)
    again.step()  # reads the log, and publishes before the next estimate
    assert torch.equal(again.dataset.reliability, first.dataset.reliability)
    assert database.told["reliability"] == told
    alike = make(database, replace(POOL, gradient_steps_per_step=10, reliability="fixed"))
    alike.adopt(newest(database))
    alike.step()
    assert (alike.dataset.reliability == 0.95).all()


@pytest.mark.parametrize("status", [{}, {"labelers": {"ann": {"reliability": 0.5}}, "slope": 1.0}, {"labelers": []}])
def test_a_status_that_says_too_little_of_the_labelers_is_none(status: dict[str, Any]) -> None:
    database = ListDatabase()
    database.log = by_a_pool(20)
    make(database, POOL).step()
    database.told["reliability"] = status
    again = make(database, POOL)
    again.adopt(newest(database))
    assert again.reliability.labelers == {}


def test_of_a_single_labeler_only_gold_can_tell() -> None:
    database = ListDatabase()
    database.log = comparisons(40)
    make(database, POOL).step()
    one = database.told["reliability"]["labelers"]["oracle"]
    assert one["reliability"] == 0.95
    assert (one["gold_asked"], one["answers"], database.told["reliability"]["slope"]) == (0, 40, 0.0)
    database.log = [
        replace(item, gold="left" if item.label.answer is Answer.RIGHT else "right")
        for item in comparisons(12)
        if isinstance(item, Comparison)
    ]
    make(database, POOL).step()
    assert database.told["reliability"]["labelers"]["oracle"]["high"] < 0.5


def test_a_mark_that_was_taken_back_no_longer_speaks_against_anybody_also_after_a_resume() -> None:
    """An admin is wrong about twelve pairs, and both labelers answer them rightly."""
    database = ListDatabase()
    for n, item in enumerate(comparisons(12)):
        assert isinstance(item, Comparison)
        wrong = "left" if item.label.answer is Answer.RIGHT else "right"
        database.marks[item.clip_ids] = wrong
        for name in ("ann", "bob"):
            label = replace(item.label, label_id=f"{name}-{n}", query_id=f"{name}s-own-{n}", labeler=name)
            database.log.append(replace(item, label=label, gold=wrong, is_marked=True))
    wrongly_marked = dict(database.marks)
    trainer = make(database, POOL)

    def told(one: RewardTrainer) -> tuple[int, int, bool]:
        one.step()
        ann = one.reliability.labelers["ann"]
        return ann.gold_right, ann.gold_asked, ann.mean < 0.5

    assert told(trainer) == (0, 12, True)
    state = trainer.state_dict()
    database.marks = dict(list(wrongly_marked.items())[:3])
    assert told(trainer)[:2] == (0, 3)
    database.marks = {}
    assert told(trainer) == (0, 0, False)
    database.marks = {pair: "left" if side == "right" else "right" for pair, side in wrongly_marked.items()}
    assert told(trainer)[:2] == (12, 12)  # marked anew, rightly
    database.marks = {}
    resumed = make(database, POOL)
    resumed.load_state_dict(state)
    assert resumed.reliability.labelers["ann"].gold_asked == 12
    assert told(resumed) == (0, 0, False)


def test_a_run_that_goes_on_with_fixed_reliability_believes_all_alike() -> None:
    database = ListDatabase()
    database.log = by_a_pool(100, gold_every=2)
    trainer = make(database, POOL)
    trainer.step()
    state = trainer.state_dict()
    assert trainer.dataset.reliability.min() < 0.5
    database.told.clear()
    for reliability in ("learned", "fixed"):
        resumed = make(database, replace(POOL, reliability=reliability))
        resumed.load_state_dict(state)
        assert torch.equal(resumed.dataset.reliability, trainer.dataset.reliability) == (reliability == "learned")
    resumed.step()
    assert (resumed.dataset.reliability == 0.95).all()
    assert database.told == {}, "the pages would show what no longer counts"


def test_labelers_weigh_the_same_until_they_are_estimated_and_in_the_ablation_on_returns() -> None:
    for config in (replace(POOL, gradient_steps_per_step=99), replace(POOL, target="returns")):
        database = ListDatabase()
        database.log = by_a_pool(50)
        trainer = make(database, config)
        trainer.step()
        assert database.told == {}
        assert (trainer.dataset.reliability == 0.95).all()


def test_with_majority_each_query_is_one_comparison_also_after_a_resume() -> None:
    database = ListDatabase()
    for item in comparisons(30):
        assert isinstance(item, Comparison)
        for n in range(3):
            label = replace(item.label, label_id=f"{item.label.label_id}-{n}", labeler=f"labeler-{n}")
            database.log.append(replace(item, label=label))
    config = replace(POOL, majority=True)
    trainer = make(database, config)
    metrics = trainer.step()
    assert (len(trainer.dataset), metrics["num_labels"]) == (30, 90)
    assert database.told == {}
    resumed = make(database, config)
    resumed.load_state_dict(trainer.state_dict())
    assert torch.equal(resumed.dataset.mu, trainer.dataset.mu)
    assert resumed.step()["num_labels"] == 90


def test_a_rate_that_was_changed_meanwhile_is_the_one_that_is_used() -> None:
    database = ListDatabase()
    database.log = comparisons(20)
    trainer = make(database, SMALL)
    trainer.step()
    still = make(database, replace(SMALL, learning_rate=1e-30, regularise=False))
    still.load_state_dict(trainer.state_dict())
    before = [each.detach().clone() for each in still.ensemble.parameters()]
    still.step()
    assert all(torch.allclose(a, b) for a, b in zip(before, still.ensemble.parameters(), strict=True))


def test_versions_used_before_a_crash_are_skipped() -> None:
    database = ListDatabase()
    database.log = comparisons(10)
    database.snapshots.newest = (7, b"published after the checkpoint that this trainer resumed from")
    trainer = make(database)
    assert trainer.step()["reward_version"] == 8
    assert database.snapshots.newest[0] == 8


def test_a_state_of_another_run_or_a_shorter_log_is_refused() -> None:
    database = ListDatabase()
    database.log = comparisons(10)
    trainer = make(database)
    trainer.step()
    state = trainer.state_dict()
    with pytest.raises(RewardDataError, match="is of another run"):
        make(database, replace(SMALL, seed=4)).load_state_dict(state)
    lost = ListDatabase()
    lost.log = database.log[:6]
    with pytest.raises(RewardDataError, match="holds 6 entries, but the checkpoint has read 10"):
        make(lost).load_state_dict(state)


def test_values_that_are_not_finite_are_refused_with_a_sentence() -> None:
    database = ListDatabase()
    trainer = make(database)
    mean = trainer.recent.mean.clone()
    observations, actions = some_steps(np.random.default_rng(0), 4, 4)
    observations[2, 1, 0] = np.nan
    with pytest.raises(RewardDataError, match="not finite"):
        trainer.observe(observations, actions)
    assert torch.equal(trainer.recent.mean, mean)
    database.log = comparisons(10)
    with torch.no_grad():
        trainer.ensemble.weights[0].fill_(torch.inf)
    with pytest.raises(RewardTrainingError, match="no longer finite at gradient step 0"):
        trainer.step()


@pytest.mark.parametrize("majority", [False, True])
@pytest.mark.parametrize("fault", ["not finite", "unreadable"])
def test_a_label_of_a_clip_that_is_of_no_use_is_left_out_and_counted(fault: str, majority: bool) -> None:
    """It may have come by an import of before such were refused; what follows it in the log must be read."""
    database = ListDatabase()
    database.log = comparisons(12)
    bad = database.log[3]
    assert isinstance(bad, Comparison)
    observations = bad.right.observations.copy()
    observations[2, 0] = np.nan
    is_read = fault == "not finite"
    database.log[3] = replace(bad, right=Segment(observations, bad.right.actions)) if is_read else Unreadable(bad.label)
    trainer = make(database, replace(SMALL, majority=majority))
    metrics = trainer.step()
    assert (len(trainer.dataset), metrics["num_left_out"], metrics["num_incomparable"]) == (11, 1, 1)
    resumed = make(database, replace(SMALL, majority=majority))
    resumed.load_state_dict(trainer.state_dict())
    assert resumed.step()["num_left_out"] == 1
    database.log.append(Retraction(replace(bad.label, label_id="undo", answer=None, retracts="label-3")))
    metrics = trainer.step()
    assert (len(trainer.dataset), metrics["num_left_out"], metrics["num_incomparable"]) == (11, 0, 0)


def test_a_broken_connection_leaves_the_trainer_as_it_was() -> None:
    class Broken(Newest):
        down = True

        def put(self, version: int, payload: bytes, cursor: str = START) -> bool:
            if self.down:
                raise ConnectionError("gone")
            return super().put(version, payload, cursor)

    database = ListDatabase()
    database.snapshots = broken = Broken()
    database.log = comparisons(10)
    trainer = make(database)
    with pytest.raises(ConnectionError):
        trainer.step()
    broken.down = False
    metrics = trainer.step()
    assert (metrics["num_labels"], metrics["reward_version"]) == (10, 1)


def test_l2_moves_towards_the_wanted_ratio() -> None:
    l2 = torch.full((5,), 1e-3)
    ratio = torch.tensor([2.0, 1.3, 1.0, torch.nan, 1.5])
    assert adapted_l2(l2, ratio, 1.1, 1.5, 1.01).tolist() == pytest.approx([1.01e-3, 1e-3, 1e-3 / 1.01, 1e-3, 1e-3])
    assert adapted_l2(torch.tensor([1.0, 1e-7]), torch.tensor([9.0, 0.1]), 1.1, 1.5, 2.0).tolist() == pytest.approx(
        [1.0, 1e-7]
    )


def test_memorising_raises_l2_of_each_member_and_no_regularisation_leaves_it_out() -> None:
    database, rng = ListDatabase(), np.random.default_rng(0)
    for item in comparisons(40):  # answers by coin: all that can be learned is to memorise them
        assert isinstance(item, Comparison)
        answer = (Answer.LEFT, Answer.RIGHT)[rng.integers(2)]
        database.log.append(replace(item, label=replace(item.label, answer=answer)))
    config = RewardTrainerConfig(hidden=(32,), learning_rate=5e-3, batch_pairs=16, gradient_steps_per_step=300)
    trainer = make(database, config)
    metrics = trainer.step()
    assert metrics["validation_loss"] > 1.5 * metrics["train_loss"]
    assert (trainer.fit.l2 > 1e-4).all()
    free = make(database, replace(config, regularise=False, squared_reward_penalty=1.0, gradient_steps_per_step=20))
    free.step()
    assert free.fit.l2.tolist() == [0.0] * 3


def test_the_squared_reward_penalty_shrinks_raw_rewards() -> None:
    sizes = []
    for penalty in (0.0, 1.0):
        database = ListDatabase()
        database.log = comparisons(30)
        trainer = make(database, replace(SMALL, squared_reward_penalty=penalty, gradient_steps_per_step=200))
        trainer.step()
        with torch.no_grad():
            rewards = trainer.ensemble.member_rewards(trainer.dataset.observations, trainer.dataset.actions)
        sizes.append(rewards.square().mean().item())
    assert sizes[1] < sizes[0] / 2


def test_one_member_and_discrete_actions_work() -> None:
    spec, rng = ActionSpec(0, 3), np.random.default_rng(0)
    database = ListDatabase()
    for item in comparisons(20):
        assert isinstance(item, Comparison)
        left, right = (
            Segment(side.observations, rng.integers(3, size=CLIP_STEPS, dtype=np.int64))
            for side in (item.left, item.right)
        )
        database.log.append(replace(item, left=left, right=right))
    trainer = RewardTrainer(replace(SMALL, members=1), database, (4,), spec, CLIP_STEPS)
    trainer.observe(some_steps(rng, 16, 2)[0], rng.integers(3, size=(16, 2)))
    metrics = trainer.step()
    assert (metrics["waiting"], metrics["reward_version"]) == (0.0, 1.0)


def test_recent_steps_keep_the_latest_and_the_moments_of_all() -> None:
    rng = np.random.default_rng(0)
    recent = RecentSteps(50, (4,), SPEC)
    blocks = [some_steps(rng, n, 2) for n in (7, 13, 40, 1)]
    for block in blocks:
        recent.observe(*block)
    every = np.concatenate([observations.reshape(-1, 4) for observations, _ in blocks]).astype(np.float64)
    assert recent.count == len(every) == 122
    assert recent.mean.numpy() == pytest.approx(every.mean(0))
    assert recent.std.numpy() == pytest.approx(every.std(0))
    latest = every[-50:].astype(np.float32)
    assert sorted(map(tuple, recent.observations.tolist())) == sorted(map(tuple, latest.tolist()))


@pytest.mark.parametrize(
    "wrong",
    [
        {"batch_pairs": 0},
        {"learning_rate": 0.0},
        {"error_floor": 1.0},
        {"ratio_low": 2.0},
        {"l2_rate": 0.9},
        {"target": "both"},
        {"gradient_steps_per_step": 0},
        {"reward_std": 0.0},
        {"max_labels": 0},
        {"reliability": "guessed"},
        {"reliability_every_steps": 0},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_impossible_numbers_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"needs|must|is 'comparisons'"):
        RewardTrainerConfig(**wrong)
