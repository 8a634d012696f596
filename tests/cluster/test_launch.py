"""The run on a real local Ray, and what happens when parts of it are killed."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray

from cluster.comparisons import open_database
from cluster.launch import connect_ray
from cluster.run_folder import RunFolder
from cluster.runner import Interrupted
from tests.cluster.runs import small_config, train
from tests.machine import lives, process_of
from tests.waiting import wait_until

pytestmark = [
    pytest.mark.redis,
    pytest.mark.ray,
    pytest.mark.timeout(240),
    pytest.mark.filterwarnings("ignore"),  # Ray's own
]


@pytest.fixture(autouse=True)
def _nothing_is_left_behind() -> Iterator[None]:
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    yield
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        left = [c for c in psutil.Process().children(recursive=True) if c.pid not in before and lives(c.pid)]
        if not left:
            return
        time.sleep(0.2)
    pytest.fail(f"processes left behind: {left}")


def find(title: str) -> psutil.Process | None:
    """The Ray process whose title begins with ray::`title`."""
    for child in psutil.Process().children(recursive=True):
        try:
            if any(title in part for part in child.cmdline()[:1]):
                return child
        except psutil.NoSuchProcess:
            continue
    return None


def when(path: Path, holds: Callable[[list[dict[str, Any]]], bool], action: Callable[[], None]) -> threading.Thread:
    """Run `action` once the rows of the run's metrics.jsonl are such."""

    def has_come_so_far() -> bool:
        rows = RunFolder.open(path).read_metrics() if (path / "config.toml").exists() else []
        return bool(rows) and holds(rows)

    def watch() -> None:
        wait_until(has_come_so_far, 200, every_s=0.05)
        action()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


def when_steps_reach(path: Path, steps: int, action: Callable[[], None]) -> threading.Thread:
    return when(path, lambda rows: rows[-1]["agent_steps"] >= steps, action)


def press_ctrl_c() -> None:
    main = threading.main_thread().ident
    assert main is not None
    signal.pthread_kill(main, signal.SIGINT)


def ray_config(**settings: Any) -> Any:
    return small_config(in_process=False, workers=1, **{"steps": 16384, **settings})


def test_a_run_without_an_address_has_a_ray_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")  # a cluster that this machine is part of
    try:
        connect_ray("")
        assert ray.is_initialized()
    finally:
        ray.shutdown()


def test_the_three_loops_run_at_once(tmp_path: Path) -> None:
    summary = train(tmp_path / "run", ray_config(steps=65536))  # seconds: a shorter one is over before a label comes
    assert summary["steps"] >= 65536
    assert summary["policy_lag_max"] == 1
    assert summary["reward_version"] > 1
    rows = RunFolder.open(tmp_path / "run").read_metrics()
    assert rows[-1]["labels"] > rows[0].get("labels", 0)  # labeling may not have said a word by the first update


def test_a_killed_rollout_worker_is_replaced(tmp_path: Path) -> None:
    killed: list[int] = []

    def kill() -> None:
        worker = find("RolloutHost")
        assert worker is not None
        killed.append(worker.pid)
        os.kill(worker.pid, signal.SIGKILL)

    watcher = when_steps_reach(tmp_path / "run", 2048, kill)
    summary = train(tmp_path / "run", ray_config())
    watcher.join()
    assert killed
    assert summary["steps"] >= 16384
    assert RunFolder.open(tmp_path / "run").read_metrics()[-1]["workers_replaced"] >= 1


def test_a_killed_reward_service_comes_back_and_publishes_on(tmp_path: Path) -> None:
    """And so does labeling. The run goes on for as long as that takes, and is stopped then."""
    published: list[int] = []

    def kill_both() -> None:
        folder = RunFolder.open(tmp_path / "run")
        try:
            for part in ("labeling", "reward service"):
                process_of(folder, part).kill()
            wait_until(lambda: folder.read_metrics()[-1]["services_restarted"] >= 2, 90)
            with open_database(folder.path) as database:
                before = database.snapshots.version()
                wait_until(lambda: database.snapshots.version() > before, 90)
                published.append(database.snapshots.version())
        finally:
            press_ctrl_c()

    watcher = when_steps_reach(tmp_path / "run", 2048, kill_both)
    with pytest.raises(Interrupted):
        train(tmp_path / "run", ray_config(steps=50_000_000))
    watcher.join()
    assert published, "both were started again, and there is a newer snapshot"


def test_what_is_alive_and_does_nothing_is_ended_and_started_again(tmp_path: Path) -> None:
    stopped: list[psutil.Process] = []

    def stop() -> None:
        for title in ("RolloutHost", "ServiceHost"):
            host = find(title)
            assert host is not None
            host.suspend()
            stopped.append(host)

    def are_replaced(rows: list[dict[str, Any]]) -> bool:
        return rows[-1]["workers_replaced"] >= 1 and rows[-1]["services_restarted"] >= 1

    watcher = when_steps_reach(tmp_path / "run", 2048, stop)
    ending = when(tmp_path / "run", are_replaced, press_ctrl_c)
    with pytest.raises(Interrupted):
        train(tmp_path / "run", ray_config(steps=50_000_000, **{"supervision.stuck_s": 2.0}))
    watcher.join()
    ending.join()
    assert len(stopped) == 2
    assert not any(lives(process.pid) for process in stopped)
    assert are_replaced(RunFolder.open(tmp_path / "run").read_metrics())
    events = (tmp_path / "run" / "events.log").read_text()
    assert "the rollout worker 0 is started again: it had done nothing for" in events
    told = {part["name"]: part for part in json.loads((tmp_path / "run/status.json").read_text())["components"]}
    assert set(told) == {"Redis", "rollout worker 0", "labeling", "reward service"}
    assert "done nothing" in told["rollout worker 0"]["why"]


def test_a_killed_redis_is_started_again_and_no_label_is_lost(tmp_path: Path) -> None:
    labels_before: list[float] = []

    def kill() -> None:
        folder = RunFolder.open(tmp_path / "run")
        labels_before.append(folder.read_metrics()[-1]["labels"])
        process_of(folder, "Redis").kill()

    watcher = when_steps_reach(tmp_path / "run", 2048, kill)
    summary = train(tmp_path / "run", ray_config(steps=65536))  # seconds: a shorter one is over before it is back
    watcher.join()
    rows = RunFolder.open(tmp_path / "run").read_metrics()
    assert rows[-1]["redis_failures"] >= 1
    assert summary["steps"] >= 65536
    assert summary["labels"] == 24 > labels_before[0]


def test_ctrl_c_checkpoints_and_the_run_resumes(tmp_path: Path) -> None:
    watcher = when_steps_reach(tmp_path / "run", 2048, press_ctrl_c)
    with pytest.raises(Interrupted, match=r"twoclips train pendulum --run .* --resume"):
        train(tmp_path / "run", ray_config(steps=50_000_000))
    watcher.join()
    folder = RunFolder.open(tmp_path / "run")
    stopped_at = folder.read_metrics()[-1]["agent_steps"]
    text = (tmp_path / "run" / "config.toml").read_text()
    (tmp_path / "run" / "config.toml").write_text(text.replace("steps = 50000000", f"steps = {stopped_at + 2048}"))
    summary = train(tmp_path / "run")
    assert summary["steps"] >= stopped_at + 2048
