"""Export, import, export: the same rows; and a run that learns from what was imported."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from actors.tasks import make_task
from actors.trajectory import Clip, Segment
from cluster.comparison_file import FORMATS, read_rows, write_rows
from cluster.config import ConfigError
from cluster.configure import make_config
from cluster.exchange import check_rows, export_run, import_comparisons, import_file, open_database
from cluster.run_folder import RunFolder
from cluster.runner import run_training
from cluster.writing import WritingError
from labeling.queue import QueryQueue
from reward_service.address import REDIS_VARIABLE
from reward_service.codec import encode_clip
from reward_service.comparison_rows import ComparisonsError, Row, rows_of
from reward_service.comparisons import Answer, Label, Query
from reward_service.database import ComparisonDatabase
from tests.cluster.conftest import Done


def clip(number: int, steps: int = 10) -> Clip:
    random = np.random.default_rng(number)
    segment = Segment(random.normal(size=(steps, 4)).astype(np.float32), random.integers(2, size=steps))
    return Clip(f"clip{number}", segment, random.normal(size=(steps, 3)).astype(np.float32), 1 / (number + 3), number)


def fill(database: ComparisonDatabase) -> None:
    """Answers of every kind, a surplus one, and one taken back."""
    database.clips.put([clip(number) for number in range(8)])
    queue = QueryQueue(database.client, database.run_id)
    for index, answer in enumerate(Answer):
        gold = ("left", "right", "", "")[index]
        database.offer([Query(f"q{index}", f"clip{2 * index}", f"clip{2 * index + 1}", 0.1, 1, 0.0, gold)])
        ours, theirs = queue.claim("ann"), None
        assert ours is not None
        if index == 0:
            ours = dataclasses.replace(ours)
            queue.lease_s = 1e-3
            queue.heartbeat(ours)
            theirs = wait_for_claim(queue)
            queue.lease_s = 60.0
        queue.complete(ours, answer, f"label{index}")
        if theirs:
            queue.complete(theirs, answer, "late")
    queue.retract("ann", "label1", "oops")


def wait_for_claim(queue: QueryQueue):
    for _ in range(1000):
        if lease := queue.claim("bob"):
            return lease
    raise AssertionError("the lease never ran out")


def same(one: Row, other: Row) -> bool:
    pairs = [(one.left, other.left), (one.right, other.right)]
    labels = [dataclasses.replace(row.label, cursor="") for row in (one, other)]
    return (
        labels[0] == labels[1]
        and one.gold == other.gold
        and all(
            (a.clip_id, a.true_return, a.policy_version) == (b.clip_id, b.true_return, b.policy_version)
            and all(
                x.dtype == y.dtype and x.shape == y.shape and x.tobytes() == y.tobytes()
                for x, y in (
                    (a.segment.observations, b.segment.observations),
                    (a.segment.actions, b.segment.actions),
                    (a.states, b.states),
                )
            )
            for a, b in pairs
        )
    )


@pytest.mark.parametrize("form", FORMATS)
def test_export_import_export_gives_the_same_rows(database: ComparisonDatabase, tmp_path: Path, form: str):
    fill(database)
    first, second = tmp_path / f"first.{form}", tmp_path / f"second.{form}"
    assert write_rows(first, form, rows_of(database)) == 6
    with open_database(tmp_path / "new") as other:
        assert import_comparisons(first, other) == 6
        assert import_comparisons(first, other) == 0, "repeating it changes nothing"
        assert other.num_labels() == database.num_labels() == 3
        write_rows(second, form, rows_of(other))
    before, after = list(read_rows(first)), list(read_rows(second))
    assert len(before) == len(after) == 6
    assert all(same(one, other) for one, other in zip(before, after, strict=True))
    assert {row.label.surplus for row in before} == {True, False}
    assert [row.label.retracts for row in before if row.label.retracts] == ["label1"]
    assert [row.gold for row in before] == ["left", "left", "right", "", "", "right"]
    if form == "jsonl":
        assert first.read_text() == second.read_text()


def test_a_late_answer_about_clips_that_are_gone_does_not_stop_an_export(database: ComparisonDatabase, tmp_path: Path):
    """The lease of a withdrawn query ends, its clips are dropped for newer ones, then its holder's answer arrives."""
    size = max(len(encode_clip(clip(number))) for number in range(6))
    small = ComparisonDatabase(database.client, database.run_id, 4 * size)
    queue = QueryQueue(small.client, small.run_id)
    small.clips.put(map(clip, range(4)))
    small.offer([Query("q0", "clip0", "clip1", 0.9, 1, 0.0), Query("q1", "clip2", "clip3", 0.1, 1, 0.0)])
    late, kept = queue.claim("ann"), queue.claim("ann")
    assert late is not None
    assert kept is not None
    assert queue.withdraw("q0")
    assert queue.give_back(late)
    small.clips.put([clip(4), clip(5)])
    assert small.clips.one("clip0") is None
    assert queue.complete(late, Answer.LEFT, "late").surplus
    queue.complete(kept, Answer.RIGHT, "kept")
    queue.retract("ann", "late", "oops")
    gone: list[Label] = []
    write_rows(tmp_path / "rows.jsonl", "jsonl", rows_of(small, gone.append))
    assert [row.label.label_id for row in read_rows(tmp_path / "rows.jsonl")] == ["kept"]
    assert [label.label_id for label in gone] == ["late", "oops"]
    with open_database(tmp_path / "new") as other:
        assert import_comparisons(tmp_path / "rows.jsonl", other) == 1
    small.client.delete(f"{small.prefix}clip:clip2")
    with pytest.raises(ComparisonsError, match="lacks a clip of label kept"):
        list(rows_of(small))


floats = arrays(np.float32, (3, 2), elements=st.floats(width=32, allow_nan=False))


@pytest.mark.parametrize("form", FORMATS)
@given(observations=floats, true_return=st.floats(allow_nan=False), width=st.integers(0, 2), at=st.floats(0, 2e9))
@settings(max_examples=20, deadline=None)
def test_numbers_survive_a_file_exactly(
    tmp_path_factory: pytest.TempPathFactory,
    form: str,
    observations: np.ndarray,
    true_return: float,
    width: int,
    at: float,
):
    file = tmp_path_factory.mktemp("file") / f"rows.{form}"
    segment = Segment(observations, np.arange(3, dtype=np.int64))
    left, right = (Clip(name, segment, np.ones((3, width), np.float32), true_return, 2) for name in "ab")
    row = Row(Label("", "l", "q", "ann", Answer.TIE, "", at, False), left, right)
    write_rows(file, form, [row])
    (back,) = read_rows(file)
    assert same(row, back)


def test_a_stopped_run_is_exported_and_its_server_ends(finished_run: RunFolder, tmp_path: Path):
    file, count, gone = export_run(finished_run, tmp_path / "rows.parquet")
    assert count == len(list(read_rows(file))) == 20
    assert gone == 0
    assert not (finished_run.path / "redis" / "url").exists()


def test_a_running_run_is_exported_through_its_own_server(finished_run: RunFolder, tmp_path: Path):
    with open_database(finished_run.path) as running:
        _, count, _ = export_run(finished_run, tmp_path / "rows.jsonl")
        assert count == 20
        assert running.num_labels() == 20, "it was left running"


def test_a_run_started_on_imported_comparisons_learns_from_them(finished_run: RunFolder, tmp_path: Path):
    file, *_ = export_run(finished_run, tmp_path / "rows.jsonl")
    assert import_file(file, tmp_path / "second") == 20
    folder = RunFolder.create(tmp_path / "second", finished_run.config)
    run_training(folder, False, lambda _: None, lambda _: None)
    rows = folder.read_metrics()
    assert rows[0]["num_labels"] >= 19, "all of them are there before the first update (less ties kept as labels)"
    assert rows[-1]["labels"] == 20, "none was asked for again"


def test_what_counts_is_told_apart_from_the_rows_of_the_log(
    database: ComparisonDatabase, finished_run: RunFolder, tmp_path: Path, twoclips: Callable[..., Done]
):
    """Of six rows one is a surplus answer, one was taken back and one takes it back."""
    fill(database)
    file = tmp_path / "rows.jsonl"
    write_rows(file, "jsonl", rows_of(database))
    done = twoclips("import", file, "new", "--json")
    assert "6 new rows read; `twoclips train TASK --run new` starts on them" in done.stderr
    assert json.loads(done.stdout)["rows"] == 6
    config = dataclasses.replace(finished_run.config, steps=400, labels=4)
    folder, said = RunFolder.create(tmp_path / "new", config), []
    assert "0 new rows read; the run has them now" in twoclips("import", file, "new").stdout
    run_training(folder, False, lambda _: None, said.append, file)
    assert said[0] == f"starting on 3 labels; new rows of {file}: 0"
    done = twoclips("export", folder.path, "--json")
    assert "7 rows written" in done.stderr
    assert json.loads(done.stdout)["rows"] == 7
    said.clear()
    run_training(RunFolder.create(tmp_path / "other", config), False, lambda _: None, said.append, file)
    assert said[0] == f"starting on 3 labels; new rows of {file}: 6"


def test_a_new_run_is_read_into_where_train_will_look_and_one_that_exists_where_its_own_are(
    database: ComparisonDatabase,
    tmp_path: Path,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
    twoclips: Callable[..., Done],
):
    fill(database)
    file, new, old = tmp_path / "rows.jsonl", tmp_path / "new", tmp_path / "old"
    write_rows(file, "jsonl", rows_of(database))
    RunFolder.create(old, make_config(make_task("cart-pole"), {"clip_steps": 10}))
    monkeypatch.setenv(REDIS_VARIABLE, redis_url)
    done = twoclips("import", file, tmp_path / "given", "--redis", redis_url)
    assert f"--run {tmp_path / 'given'} --redis {redis_url}` starts on them" in done.stdout, (
        "or it would look elsewhere"
    )
    assert import_file(file, new) == import_file(file, old) == 6
    assert not (new / "redis").exists()
    with open_database(new, redis_url) as shared, open_database(old) as own:
        assert shared.num_labels() == own.num_labels() == 3
        assert own.run_id != shared.run_id
    with open_database(old, redis_url) as shared:
        assert shared.num_labels() == 0


def test_an_empty_run_has_nothing_to_export_and_a_baseline_neither_gives_nor_takes(
    baseline_run: RunFolder, finished_run: RunFolder, tmp_path: Path
):
    with pytest.raises(ComparisonsError, match="true reward"):
        export_run(baseline_run)
    with pytest.raises(ComparisonsError, match="no comparisons yet"):
        export_run(RunFolder.create(tmp_path / "new", finished_run.config))
    with pytest.raises(ConfigError, match="jsonl or parquet"):
        export_run(finished_run, form="csv")
    export_run(finished_run, tmp_path / "rows.jsonl")
    with pytest.raises(ConfigError, match="--labeler none learns from the true reward"):
        import_file(tmp_path / "rows.jsonl", baseline_run.path)


def test_damaged_files_are_refused_whole(database: ComparisonDatabase, tmp_path: Path):
    fill(database)
    whole = tmp_path / "whole.jsonl"
    write_rows(whole, "jsonl", rows_of(database))
    lines = whole.read_text().splitlines()
    record = json.loads(lines[1])
    record["answer"] = "maybe"
    golden = {**json.loads(lines[0]), "gold": "up"}
    older = {name: value for name, value in json.loads(lines[0]).items() if name != "gold"}
    (tmp_path / "older").write_text(json.dumps(older))
    assert [row.gold for row in read_rows(tmp_path / "older")] == [""], "files of before there were gold queries"
    damages = {
        "gold": json.dumps(golden),
        "cut": "\n".join(lines)[:-200],
        "answer": "\n".join([lines[0], json.dumps(record)]),
        "foreign": "clip,answer\n1,left\n",
        "empty": "",
        "binary": "PAR1 but no more",
    }
    for name, text in damages.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(ComparisonsError, match=name):
            import_file(tmp_path / name, tmp_path / "new")
        with open_database(tmp_path / "new") as other:
            assert other.num_labels() == 0
    with pytest.raises(ComparisonsError, match="cannot read"):
        check_rows(tmp_path / "missing")


def test_exchange_of_another_task_are_refused(database: ComparisonDatabase, tmp_path: Path):
    fill(database)
    write_rows(tmp_path / "rows.jsonl", "jsonl", rows_of(database))
    with pytest.raises(ComparisonsError, match="same task"):
        check_rows(tmp_path / "rows.jsonl", make_task("reacher"))


@pytest.mark.parametrize("name", ["observations", "actions"])
def test_a_file_with_values_that_are_not_finite_is_refused_whole(tmp_path: Path, name: str):
    good, values = clip(0), np.full((10, 4), 0.5, np.float32)
    values[3, 1] = np.nan if name == "observations" else np.inf
    steps = dataclasses.replace(good.segment, actions=np.zeros((10, 4), np.float32))
    bad = dataclasses.replace(clip(1), segment=dataclasses.replace(steps, **{name: values}))
    fine = dataclasses.replace(good, segment=steps)
    rows = [
        Row(Label("", f"l{n}", f"q{n}", "ann", Answer.LEFT, "", 0.0), fine, other)
        for n, other in enumerate((dataclasses.replace(fine, clip_id="other"), bad))
    ]
    write_rows(tmp_path / "rows.jsonl", "jsonl", rows)
    with pytest.raises(ComparisonsError, match=r"clip1 of label l1 in .* not finite"):
        import_file(tmp_path / "rows.jsonl", tmp_path / "new")
    with open_database(tmp_path / "new") as database:
        assert database.num_labels() == 0


def test_a_file_that_cannot_be_written_leaves_nothing(database: ComparisonDatabase, tmp_path: Path):
    fill(database)
    (tmp_path / "taken").write_text("")
    with pytest.raises(WritingError, match="cannot write"):
        write_rows(tmp_path / "taken" / "rows.jsonl", "jsonl", rows_of(database))
