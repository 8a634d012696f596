"""A run's folder on other storage: whole or not at all, and enough to go on from on another machine."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pyarrow import fs as arrow_fs

from cluster.run_folder import RunFolder
from cluster.runner import Interrupted, run_training
from cluster.store import RunStore, StoreError, check_store, mirrored, place
from cluster.writing import WritingError
from tests.cluster.conftest import Done
from tests.cluster.runs import small_config
from tests.waiting import wait_until

STORED = {"config.toml": "a = 1", "checkpoints/one.pt": "first", "metrics.jsonl": "{}", "empty": ""}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of `STORED`, and of what belongs to this machine."""
    folder = tmp_path / "run"
    for name, text in STORED.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    for name in ("status.json", "redis/appendonly.aof", "labeling/url", "keeper", "checkpoints/half.tmp"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("of this machine")
    return folder


@pytest.fixture
def uri(tmp_path: Path) -> str:
    return f"file://{tmp_path}/store/run"


def contents(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_what_is_pulled_is_what_was_pushed_but_for_what_belongs_to_a_machine(
    folder: Path, uri: str, tmp_path: Path
) -> None:
    assert RunStore(uri, "run-1").push(folder) == 4
    assert RunStore(uri).pull(tmp_path / "other") == 4
    assert contents(tmp_path / "other") == STORED


def test_only_what_changed_is_written_and_what_is_gone_is_dropped(folder: Path, uri: str, tmp_path: Path) -> None:
    store = RunStore(uri, "run-1")
    store.push(folder)
    assert store.push(folder) == 0
    (folder / "checkpoints/one.pt").rename(folder / "checkpoints/renamed.pt")
    (folder / "metrics.jsonl").write_text("{}\n{}")
    assert store.push(folder) == 1
    store.pull(tmp_path / "other")
    assert set(contents(tmp_path / "other")) == {"config.toml", "checkpoints/renamed.pt", "metrics.jsonl", "empty"}
    assert len(list((tmp_path / "store/run/files").iterdir())) == 4


@pytest.mark.parametrize("fails_at", range(1, 6))
def test_a_push_that_is_cut_short_leaves_the_one_before(
    folder: Path, uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails_at: int
) -> None:
    RunStore(uri, "run-1").push(folder)
    changed = {name: f"second {name}" for name in STORED if name != "empty"}
    for name, text in changed.items():
        (folder / name).write_text(text)
    store = RunStore(uri, "run-1")
    calls = 0

    class Failing:
        def __getattr__(self, name: str) -> Any:
            return getattr(arrow_fs.LocalFileSystem(), name)

        def move(self, source: str, target: str) -> None:
            nonlocal calls
            calls += 1
            if calls == fails_at:
                raise OSError(28, "no space left")
            arrow_fs.LocalFileSystem().move(source, target)

    monkeypatch.setattr(store, "_fs", Failing())
    if fails_at <= 4:  # three files and the manifest
        with pytest.raises(StoreError, match="no space left"):
            store.push(folder)
    else:
        store.push(folder)
    RunStore(uri).pull(tmp_path / "other")
    assert contents(tmp_path / "other") == (STORED if fails_at <= 4 else STORED | changed)
    RunStore(uri, "run-1").push(folder)
    RunStore(uri).pull(tmp_path / "third")
    assert contents(tmp_path / "third") == STORED | changed, "and the next one is whole"


def test_a_checkpoint_that_is_dropped_meanwhile_is_no_harm(
    folder: Path, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = sorted(folder.rglob("*"))
    (folder / "checkpoints/one.pt").unlink()
    monkeypatch.setattr(Path, "rglob", lambda *_: listed)
    assert RunStore(uri, "run-1").push(folder) == 3


def test_another_runs_place_is_refused(folder: Path, uri: str) -> None:
    RunStore(uri, "run-1").push(folder)
    with pytest.raises(StoreError, match=r"holds another run .run-1.*--run"):
        RunStore(uri, "run-2").push(folder)


def test_a_later_state_of_the_run_is_not_overwritten_by_an_earlier_one(folder: Path, uri: str, tmp_path: Path) -> None:
    """A machine that was away comes back after another has gone on from the store."""
    earlier, later = "checkpoints/checkpoint-000000000400-aa.pt", "checkpoints/checkpoint-000000001500-bb.pt"
    (folder / earlier).write_text("at 400")
    RunStore(uri, "run-1").push(folder)
    elsewhere = tmp_path / "elsewhere"
    RunStore(uri).pull(elsewhere)
    (elsewhere / later).write_text("at 1,500")
    RunStore(uri, "run-1").push(elsewhere)
    with pytest.raises(
        StoreError, match=r"later state of this run, 1,500 agent steps, than .*run, 400; move that folder"
    ):
        RunStore(uri, "run-1").push(folder)
    RunStore(uri).pull(tmp_path / "look")
    assert (tmp_path / "look" / later).read_text() == "at 1,500"
    (elsewhere / earlier).unlink()  # as old checkpoints are dropped
    assert RunStore(uri, "run-1").push(elsewhere) == 0


@pytest.mark.parametrize(
    ("uri", "run"),
    [
        ("file:///runs/", "file:///runs/one"),
        (
            "s3://bucket/runs?endpoint_override=host:9000&scheme=http",
            "s3://bucket/runs/one?endpoint_override=host:9000&scheme=http",
        ),
        ("s3://bucket", "s3://bucket/one"),
    ],
)
def test_a_run_is_stored_below_under_the_name_of_its_folder(uri: str, run: str) -> None:
    assert place(uri, Path("some/one")) == run


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("manifest.json", '{"format": "else"}', "something else"),
        ("manifest.json", "no json", "failed"),
        ("", "changed", "damaged"),
    ],
)
def test_what_is_damaged_is_said_and_nothing_is_written(
    folder: Path, uri: str, tmp_path: Path, name: str, text: str, says: str
) -> None:
    RunStore(uri, "run-1").push(folder)
    root = tmp_path / "store/run"
    digest = json.loads((root / "manifest.json").read_text())["files"]["metrics.jsonl"]
    (root / (name or f"files/{digest}")).write_text(text)
    with pytest.raises(StoreError, match=says):
        RunStore(uri).pull(tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_a_name_that_leads_out_of_the_folder_is_refused(folder: Path, uri: str, tmp_path: Path) -> None:
    RunStore(uri, "run-1").push(folder)
    manifest = tmp_path / "store/run/manifest.json"
    manifest.write_text(manifest.read_text().replace('"empty"', '"../empty"'))
    with pytest.raises(StoreError, match="damaged"):
        RunStore(uri).pull(tmp_path / "other")
    assert not (tmp_path / "empty").exists()


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("nowhere", "no address of a file system"),
        ("ftp://host/runs", "no address of a file system"),
        ("s3://key:secret@bucket/runs", "may hold no secret"),
    ],
)
def test_an_address_that_cannot_be_is_refused(address: str, says: str) -> None:
    with pytest.raises(StoreError, match=says):
        check_store(address)


def test_nothing_stored_is_said(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="holds no run"):
        RunStore(f"file://{tmp_path}/nothing").pull(tmp_path / "other")


def test_a_store_that_fails_is_told_once_and_the_run_goes_on(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run", small_config(in_process=True))
    said: list[str] = []
    base = tmp_path / "store"
    with mirrored(f"file://{base}", folder, said.append) as saved:
        shutil.rmtree(base)
        base.write_text("in the way")  # root may write to what is read-only, but not below a file
        for _ in range(3):
            folder.log_event("something new")
            saved()
            time.sleep(0.05)
        assert len(said) == 1
        assert "goes on" in said[0]
        base.unlink()
    RunStore(place(f"file://{base}", folder.path)).pull(tmp_path / "other")  # the last push went well again


def test_an_end_that_could_not_be_stored_is_said_though_a_failure_was_told_before(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run", small_config(in_process=True))
    said: list[str] = []
    with mirrored(f"file://{tmp_path}/store", folder, said.append) as saved:
        shutil.rmtree(tmp_path / "store")
        (tmp_path / "store").write_text("in the way")
        folder.log_event("something new")
        saved()
        wait_until(lambda: bool(said), 10)
    assert "the run's end is not stored" in said[-1]
    assert len(said) == 2


def test_a_pull_that_is_cut_short_leaves_no_run_that_would_be_taken_for_whole(
    folder: Path, uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    RunStore(uri, "run-1").push(folder)
    write, written = Path.write_bytes, []

    def full_after_two(path: Path, contents: bytes) -> int:
        written.append(path.name)
        if len(written) > 2:
            raise OSError(28, "No space left on device")
        return write(path, contents)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", full_after_two)
        with pytest.raises(WritingError, match=r"cannot write .*other/.* \(No space left"):  # here, not in the store
            RunStore(uri).pull(tmp_path / "other")
    assert not (tmp_path / "other" / "config.toml").exists()
    assert RunStore(uri).pull(tmp_path / "other") == 4


def test_what_a_push_that_was_cut_short_has_left_is_removed_by_the_next(folder: Path, uri: str, tmp_path: Path) -> None:
    RunStore(uri, "run-1").push(folder)
    files = tmp_path / "store" / "run" / "files"
    (files / "of-nobody").write_text("half a checkpoint")
    (files / "half.tmp").write_text("a file")
    (folder / "metrics.jsonl").write_text("{}{}")
    RunStore(uri, "run-1").push(folder)
    assert len(list(files.iterdir())) == 4
    assert RunStore(uri).pull(tmp_path / "other") == 4


@pytest.mark.redis
def test_a_run_whose_machine_is_lost_goes_on_from_its_store(
    twoclips: Callable[..., Done], tmp_path: Path, redis_url: str
) -> None:
    uri = f"file://{tmp_path}/store"
    config = small_config(redis=redis_url, store=uri)
    lost = RunFolder.create(tmp_path / "lost/run", config)

    def stop_half_way(metrics: dict[str, Any]) -> None:
        if metrics.get("agent_steps", 0) >= 1280:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted), mirrored(uri, lost, print) as saved:
        run_training(lost, False, stop_half_way, print, saved=saved)
    shutil.rmtree(lost.path)
    done = twoclips("train", "pendulum", "--run", "found/run", "--store", uri, "--resume", "--json")
    assert "resuming at 1,280" in done.stderr
    summary = json.loads(done.stdout.splitlines()[-1])
    assert (summary["steps"], summary["labels"]) == (2048, 24)
    RunStore(place(uri, Path("run"))).pull(tmp_path / "look")
    assert (tmp_path / "look/report.html").exists()
    steps = [json.loads(line)["agent_steps"] for line in (tmp_path / "look/metrics.jsonl").read_text().splitlines()]
    assert steps == sorted(set(steps))
    assert steps[-1] == 2048


def test_a_store_that_cannot_be_is_refused_before_anything_is_begun(
    twoclips: Callable[..., Done], tmp_path: Path
) -> None:
    done = twoclips("train", "pendulum", "--store", "s3://key:secret@bucket/runs")
    assert done.code == 1
    assert "no secret" in done.stderr
    assert not (tmp_path / "runs").exists()
