"""A world that breaks in mid-run, with Ray: the run ends with what it said, and nothing labelled is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.exchange import open_database
from cluster.run_status import read_status
from tests.cluster.runs import SMALL
from tests.local_run import LocalRun
from tests.machine import lives, process_of
from tests.waiting import wait_until

pytestmark = [pytest.mark.redis, pytest.mark.ray, pytest.mark.timeout(240)]
ENDLESS = {"steps": 1_000_000, "loop.checkpoint_steps": 1_000_000, "labels": 10_000, "query.initial_fraction": 0.002}
TASK = "tests.actors.counters:TwoclipsCounterRaisesLate-v0"


def test_a_world_that_raises_ends_the_run_with_one_sentence_and_leaves_labels_and_no_process(tmp_path: Path) -> None:
    run = LocalRun(tmp_path / "run")
    try:
        settings = [f"--set={name}={value}" for name, value in {**SMALL, **ENDLESS}.items()]
        run.start(TASK, "--workers", "1", *settings)
        wait_until((run.path / "status.json").exists, 100)
        process_of(run.folder, "rollout worker 0")
        children = {child.pid for child in run.driver().children(recursive=True)}
        assert len(children) > 3, "Ray's own, too"
        code = run.process.wait(200)
    finally:
        run.end()
    assert code == 1
    last = run.printed().strip().splitlines()[-1]
    assert last.startswith(f"twoclips: the environment {TASK} raised ArithmeticError: the wheel fell off")
    assert "Traceback" not in run.printed()
    parts = {part["process_id"] for part in read_status(run.folder)["components"]} | children
    assert not [pid for pid in parts if pid and lives(pid)]
    with open_database(run.path) as database:
        assert database.num_labels() > 0
