from __future__ import annotations

import dataclasses
import json
import shutil
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import cluster.training as training_module
from actors.tasks import make_task
from cluster.components import RunSpec, build_reward_service
from cluster.config import load_config, pretraining_steps
from cluster.configure import make_config
from cluster.exchange import open_database, rows_of
from cluster.in_process import LocalPool
from cluster.redis_server import running_url
from cluster.reward_source import RewardSource
from cluster.run_folder import RunFolder
from cluster.run_status import read_status
from cluster.runner import Interrupted, run_training
from cluster.training import Training, steps_between_checkpoints
from learners.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from learners.learner import Learner, LearnerFailure
from reward_service.database import START
from reward_service.snapshot import RewardSnapshot
from tests.cluster.runs import SMALL, small_config, train
from tests.local_run import LocalRun
from tests.waiting import wait_until

pytestmark = pytest.mark.redis

CLOCKS = {"wall_s", "steps_per_second", "gather_wait_s", "relabel_s", "learn_s"}


def curve(path: Path) -> list[dict[str, Any]]:
    """metrics.jsonl without what a clock measured."""
    return [{k: v for k, v in row.items() if k not in CLOCKS} for row in RunFolder.open(path).read_metrics()]


def test_a_run_of_many_updates_has_about_so_many_rows_as_are_read_whole_and_one_for_each_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the seconds of all updates; a run that was stopped anywhere has one of where that was, too."""
    monkeypatch.setattr(training_module, "ROWS", 3)
    folder = RunFolder.create(tmp_path / "run", small_config(labeler="none"))
    updates: list[dict[str, Any]] = []

    def look(told: dict[str, Any]) -> None:
        updates.extend([told] if "agent_steps" in told else [])
        if len(updates) == 5:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted, match="stopped at 1,280 agent steps"):
        run_training(folder, False, look, lambda _: None)
    run_training(folder, True, look, lambda _: None)
    rows = folder.read_metrics()
    assert [row["agent_steps"] for row in rows] == [768, 1024, 1280, 1536, 2048]
    for name in ("gather_wait_s", "relabel_s", "learn_s"):
        assert sum(row[name] for row in rows) == pytest.approx(sum(told[name] for told in updates))


def test_a_run_of_few_steps_whose_workers_are_all_gone_still_checkpoints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LocalPool, "size", 0)
    config = small_config(steps=5, **{"loop.checkpoint_steps": 0})
    assert train(tmp_path / "run", config)["steps"] >= 5
    assert list((tmp_path / "run" / "checkpoints").iterdir())


@pytest.mark.parametrize(
    ("task", "settings", "workers", "every"),
    [
        ("half-cheetah", {"steps": 2_000_000}, 1, 200_000),  # a tenth of the run
        ("half-cheetah", {"steps": 100_000}, 2, 2 * 1000 * 16 * 2),  # two whole episodes of each environment
        ("pong", {"steps": 2_500_000}, 1, 250_000),
        ("pong", {"steps": 2_500_000}, 4, 2 * 4000 * 16 * 4),  # of games two that are long, not two half hours
        ("pong", {"steps": 2_500_000, "loop.checkpoint_steps": 7}, 4, 7),
        ("half-cheetah", {"steps": 5}, 0, 2 * 1000 * 16),
    ],
)
def test_between_two_checkpoints_there_is_time_for_whole_episodes(
    task: str, settings: dict[str, int], workers: int, every: int
) -> None:
    made = make_task(task)
    assert steps_between_checkpoints(make_config(made, settings), made.preset, workers) == every


def test_another_seed_gives_other_metrics(tmp_path: Path) -> None:
    train(tmp_path / "a", small_config(seed=3, steps=512))
    train(tmp_path / "b", small_config(seed=4, steps=512))
    assert curve(tmp_path / "a") != curve(tmp_path / "b")


RARELY = {"loop__service_updates": 3}
BESIDE = {"rollout__cores": 2}
POOL = {"oracle__people": "perfect:2,spammer,adversary", "query__gold_fraction": 0.3, "labels": 60}


@pytest.mark.parametrize(
    "settings", [{"algorithm": "ppo"}, {"algorithm": "trpo"}, {"algorithm": "a2c"}, RARELY, BESIDE, POOL], ids=str
)
def test_resumed_equals_never_stopped_bit_for_bit(
    tmp_path: Path, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As does the same seed the same metrics."""
    config = small_config(seed=3, steps=1024, loop__checkpoint_steps=512, **settings)
    whole = train(tmp_path / "whole", config)
    assert (whole["labels"], whole["policy_lag_max"]) == (config.labels, 1)
    assert whole["reward_version"] > 1

    save = training_module.save_checkpoint
    with monkeypatch.context() as patch:

        def save_then_press_ctrl_c(folder: Path, step: int, state: dict[str, Any]) -> Path:
            path = save(folder, step, state)
            if step == 512 and not (folder / "pressed").exists():
                (folder / "pressed").touch()
                raise KeyboardInterrupt
            return path

        patch.setattr(training_module, "save_checkpoint", save_then_press_ctrl_c)
        with pytest.raises(Interrupted, match="--resume"):
            train(tmp_path / "stopped", config)
    train(tmp_path / "stopped")
    assert len(curve(tmp_path / "whole")) == 4
    assert curve(tmp_path / "stopped") == curve(tmp_path / "whole")


def test_a_reward_service_that_starts_anew_goes_on_counting_what_the_one_before_observed(tmp_path: Path) -> None:
    train(tmp_path / "run", small_config(steps=512))
    folder = RunFolder.open(tmp_path / "run")
    with open_database(folder.path) as database:
        spec = RunSpec(folder.config, folder.config.make_task(), running_url(folder.path), database.run_id)
        newest = database.snapshots.get()
        recent = build_reward_service(spec).state_dict()["recent"]
    assert newest is not None
    assert recent["count"] == RewardSnapshot.from_bytes(newest[1]).num_observed
    assert recent["count"] >= 512


def test_a_run_with_a_pool_says_what_each_labeler_is_worth(tmp_path: Path) -> None:
    summary = train(tmp_path / "run", small_config(seed=3, **POOL))
    assert summary["labels"] == 60
    with open_database(tmp_path / "run") as database:
        told = database.status_of("reliability")
        labels = database.labels_since(START)[0]
    assert Counter(label.labeler for label in labels) == {
        "perfect-0": 15, "perfect-1": 15, "spammer-2": 15, "adversary-3": 15
    }  # fmt: skip
    assert set(told) == {"labelers", "slope", "excluded_share", "excluded_usual", "updated_at_s"}
    assert set(told["labelers"]) == {label.labeler for label in labels}
    asked = {name: labeler["gold_asked"] for name, labeler in told["labelers"].items()}
    assert 5 <= sum(asked.values()) <= 30
    assert all(told["labelers"][f"perfect-{n}"]["gold_right"] == asked[f"perfect-{n}"] for n in (0, 1))
    assert told["labelers"]["adversary-3"]["gold_right"] == 0
    assert told["labelers"]["adversary-3"]["reliability"] < 0.5 < told["labelers"]["perfect-0"]["reliability"]


def test_the_one_oracle_is_not_asked_what_is_known(tmp_path: Path) -> None:
    train(tmp_path / "run", small_config(steps=512, reward__reliability_every_steps=10))
    with open_database(tmp_path / "run") as database:
        assert {row.gold for row in rows_of(database)} == {""}
        assert database.status_of("reliability")["labelers"]["oracle"]["reliability"] == 0.95


def test_the_last_row_has_the_last_labels_and_the_reward_version_that_it_was_paid_by(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[float, ...]] = []
    take = RewardSource.take_last_labels

    def look(source: RewardSource, metrics: dict[str, Any], agent_steps: int) -> None:
        labels, version = metrics["labels"], metrics["reward_version"]
        take(source, metrics, agent_steps)
        assert source._services is not None
        seen.append((labels, version, source._services.metrics()["reward_version"]))

    monkeypatch.setattr(RewardSource, "take_last_labels", look)
    summary = train(tmp_path / "run", small_config(steps=512, loop__service_updates=100))
    last = RunFolder.open(tmp_path / "run").read_metrics()[-1]
    ((labels, version, trained),) = seen
    assert labels < last["labels"] == summary["labels"] == 24
    assert last["reward_version"] == summary["reward_version"] == version < trained


def test_a_finished_run_that_is_resumed_says_what_it_was(tmp_path: Path) -> None:
    first = train(tmp_path / "run", small_config(steps=512))
    again = train(tmp_path / "run")
    status = read_status(RunFolder.open(tmp_path / "run"))
    assert (status["state"], status["metrics"]["labels"]) == ("finished", 24)
    event = json.loads((tmp_path / "run" / "events.jsonl").read_text().splitlines()[-1])
    assert (event["event"], event["agent_steps"]) == ("finished", 512)
    assert {k: v for k, v in again.items() if k not in CLOCKS} == {k: v for k, v in first.items() if k not in CLOCKS}


def test_a_run_stopped_before_its_first_update_after_a_resume_says_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(tmp_path / "run", small_config(labeler="none", steps=512))
    folder = RunFolder.open(tmp_path / "run")
    folder.change(dataclasses.replace(folder.config, steps=1024))

    def press_ctrl_c(_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Training, "_update", press_ctrl_c)
        with pytest.raises(Interrupted, match="stopped at 512 agent steps"):
            train(tmp_path / "run")
    status = read_status(folder)
    assert (status["state"], status["metrics"]["agent_steps"]) == ("stopped", 512)
    events = [json.loads(line) for line in (tmp_path / "run" / "events.jsonl").read_text().splitlines()]
    resumed = next(event for event in events if event["event"].startswith("resumed"))
    assert (resumed["agent_steps"], resumed["policy_version"]) == (512, 2)


@pytest.mark.parametrize("stops_at", [1, 2])
def test_an_update_that_ctrl_c_came_into_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stops_at: int
) -> None:
    step = Learner.step

    def step_then_press_ctrl_c(learner: Learner, *given: Any) -> dict[str, float]:
        learned = step(learner, *given)
        if learner.version == stops_at:
            signal.raise_signal(signal.SIGINT)
        return learned

    with monkeypatch.context() as patch:
        patch.setattr(Learner, "step", step_then_press_ctrl_c)
        with pytest.raises(Interrupted, match=f"stopped at {256 * stops_at} agent steps"):
            train(tmp_path / "run", small_config(labeler="none", steps=512))
    folder = RunFolder.open(tmp_path / "run")
    step_of, state = load_checkpoint(folder.checkpoints)
    assert (state["learner"]["version"], step_of) == (stops_at, 256 * stops_at)
    assert [row["policy_version"] for row in folder.read_metrics()] == list(range(1, stops_at + 1))
    status = read_status(folder)
    assert (status["metrics"]["agent_steps"], status["state"]) == (step_of, ["stopped", "finished"][stops_at - 1])
    train(tmp_path / "run")
    assert [row["agent_steps"] for row in folder.read_metrics()] == [256, 512]


def test_a_run_stopped_before_its_first_update_resumes_with_its_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def press_ctrl_c(_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Training, "_update", press_ctrl_c)
        with pytest.raises(Interrupted, match="stopped at 0 agent steps"):
            train(tmp_path / "run", small_config(steps=512))
    summary = train(tmp_path / "run")
    assert summary["steps"] == 512
    assert summary["labels"] == 24


def test_the_fewest_labels_that_there_may_be_are_enough_for_a_run(tmp_path: Path) -> None:
    summary = train(tmp_path / "run", small_config(labels=4, steps=512, **{"query.initial_fraction": 0.0}))
    assert (summary["labels"], summary["steps"]) == (4, 512)


def test_answers_of_which_none_can_be_trained_on_end_the_run_instead_of_being_waited_for(tmp_path: Path) -> None:
    with pytest.raises(LearnerFailure, match=r"first 6 answers teach nothing.*initial_fraction"):
        train(tmp_path / "run", small_config(**{"oracle.skip_rate": 1.0}))


def test_while_nobody_labels_the_agent_goes_on_acting_in_one_process_too(tmp_path: Path) -> None:
    config = small_config("half-cheetah", labeler="human", **{"labeling.port": 0})
    folder = RunFolder.create(tmp_path / "run", config)
    acted: list[int] = []

    def look(told: dict[str, Any]) -> None:
        if told.get("phase") == "first labels":
            acted.append(told["environment_steps"])
            if acted[-1] >= acted[0] + 512:
                raise KeyboardInterrupt

    with pytest.raises(Interrupted):
        run_training(folder, False, look, lambda _: None)
    assert acted[-1] > acted[0]


def test_where_the_first_clips_leave_nothing_to_ask_about_the_agent_acts_on(tmp_path: Path) -> None:
    config = small_config("cart-pole", clip_steps=64, labels=80, steps=512, loop__warmup_steps=1)
    metrics = train(tmp_path / "run", config)  # four clips, so six pairs, for 20 first labels
    assert metrics["labels"] == 80
    rows = RunFolder.open(tmp_path / "run").read_metrics()
    assert rows[0]["labels"] >= 20
    train(tmp_path / "again", config)
    assert curve(tmp_path / "again") == curve(tmp_path / "run")


def test_a_run_that_has_asked_about_all_it_has_seen_ends_without_the_last_labels(tmp_path: Path) -> None:
    """And with the same figures whatever the clock says."""
    config = small_config("cart-pole", clip_steps=64, labels=400, steps=256, query__initial_fraction=0.01)
    assert 0 < train(tmp_path / "run", config)["labels"] < 400
    train(tmp_path / "again", config)
    assert curve(tmp_path / "again") == curve(tmp_path / "run")


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    for name, seed, hidden in (("own", 3, [64, 64]), ("other", 4, [64, 64]), ("wider", 3, [32])):
        config = small_config(seed=seed, labeler="none", steps=512, **{"policy.hidden": hidden})
        train(tmp_path / name, config)
    before = RunFolder.open(tmp_path / "own").metrics_path.read_bytes()
    for name, says in (("other", "is of another run"), ("wider", "is of another run")):
        with_checkpoints_of(tmp_path / "own", tmp_path / name)
        with pytest.raises(CheckpointError, match=says) as caught:
            train(tmp_path / "own")
        assert "start a new run" in str(caught.value)
    assert RunFolder.open(tmp_path / "own").metrics_path.read_bytes() == before


def test_a_checkpoint_of_another_configuration_is_refused_though_it_says_that_it_is_this_runs(tmp_path: Path) -> None:
    for name, hidden in (("own", [64, 64]), ("wider", [32])):
        train(tmp_path / name, small_config(labeler="none", steps=512, **{"policy.hidden": hidden}))
    step, state = load_checkpoint(tmp_path / "wider" / "checkpoints")
    with_checkpoints_of(tmp_path / "own", tmp_path / "wider")
    save_checkpoint(tmp_path / "own" / "checkpoints", step, state | {"run": RunFolder.open(tmp_path / "own").run_id})
    with pytest.raises(CheckpointError, match="no learner of this run's configuration"):
        train(tmp_path / "own")


def with_checkpoints_of(run: Path, other: Path) -> None:
    shutil.rmtree(run / "checkpoints")
    shutil.copytree(other / "checkpoints", run / "checkpoints")


def test_the_policy_does_not_move_before_the_reward_model_has_seen_the_first_labels_often_enough(
    tmp_path: Path,
) -> None:
    config = small_config(steps=512, **{"loop.pretrain_steps": 1, "loop.pretrain_epochs": 40})
    assert pretraining_steps(config) == 30  # 40 passes over 6 labels, 8 at a time
    train(tmp_path / "passes", config)
    assert RunFolder.open(tmp_path / "passes").read_metrics()[0]["gradient_steps"] >= 30
    train(tmp_path / "steps", small_config(steps=512, **{"loop.pretrain_steps": 50}))
    assert RunFolder.open(tmp_path / "steps").read_metrics()[0]["gradient_steps"] >= 50


def test_input_noise_is_the_trainers_and_the_readers_alike(tmp_path: Path) -> None:
    for name, noise in (("noisy", 0.1), ("clear", 0.0)):
        assert train(tmp_path / name, small_config(steps=512, reward__input_noise=noise))["reward_version"] > 0
        with open_database(tmp_path / name) as database:
            newest = database.snapshots.get()
        assert newest is not None
        assert RewardSnapshot.from_bytes(newest[1]).config.input_noise == noise
    assert curve(tmp_path / "noisy") != curve(tmp_path / "clear")


def test_the_baseline_needs_no_redis_and_no_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cluster.runner.PrivateRedis", None)
    monkeypatch.setattr("cluster.metrics.SegmentLog.add", None)  # whose correlation nobody asks for
    summary = train(tmp_path / "run", small_config(labeler="none", steps=1024))
    assert (summary["labels"], summary["reward_version"]) == (0, 0)


@pytest.mark.parametrize(
    "ablation",
    [
        {"query.selection": "random"},
        {"reward.members": 1},
        {"query.offline": True},
        {"reward.regularise": False},
        {"clip_steps": 1},
        {"reward.target": "returns"},
    ],
    ids=str,
)
def test_each_ablation_of_the_paper_runs(tmp_path: Path, ablation: dict[str, Any]) -> None:
    config = small_config(steps=512, **{name.replace(".", "__"): value for name, value in ablation.items()})
    summary = train(tmp_path / "run", config)
    assert summary["reward_version"] > 0
    rows = RunFolder.open(tmp_path / "run").read_metrics()
    if "query.offline" in ablation:
        assert rows[0]["labels"] == 24  # all of them before the first update
    else:
        assert rows[0]["labels"] < 24


def test_two_runs_at_work_at_once_share_a_given_redis_undisturbed(tmp_path: Path, redis_url: str) -> None:
    """One in a process of its own, which is stopped until the other, in this one, has begun."""
    train(tmp_path / "alone", small_config(seed=3, steps=512))
    first = LocalRun(tmp_path / "first")
    events_path = first.path / "events.jsonl"
    second = RunFolder.create(tmp_path / "second", small_config(seed=3, steps=512, redis=redis_url))
    is_stopped = False

    def let_it_go_on(_: object) -> None:
        nonlocal is_stopped
        if is_stopped:
            first.driver().resume()
            is_stopped = False

    try:
        settings = [f"--set={name}={value}" for name, value in {**SMALL, "steps": 512}.items()]
        first.start("pendulum", "--in-process", "--seed", "3", "--redis", redis_url, *settings)
        wait_until(
            lambda: events_path.exists() and "started" in events_path.read_text(), 80, "it to begin", every_s=0.02
        )
        first.driver().suspend()
        is_stopped = True
        run_training(second, False, let_it_go_on, lambda _: None)
        code = first.process.wait(80)
    finally:
        let_it_go_on(None)
        first.end()
    assert code == 0
    assert curve(first.path) == curve(second.path) == curve(tmp_path / "alone")
    spans = []
    for run in (first, second):
        events = [json.loads(line) for line in (run.path / "events.jsonl").read_text().splitlines()]
        spans.append([event["time"] for event in events if event["event"].startswith(("started", "finished"))])
    assert max(begin for begin, _ in spans) < min(end for _, end in spans), "both were at work at once"


def test_a_run_can_be_repeated_from_its_config_file(tmp_path: Path) -> None:
    config = small_config(seed=5, steps=512)
    train(tmp_path / "first", config)
    read = load_config(tmp_path / "first" / "config.toml")
    assert read == config
    train(tmp_path / "again", read)
    assert curve(tmp_path / "again") == curve(tmp_path / "first")
