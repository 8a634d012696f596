"""`twoclips demo`: without its page here; tests/labeling/test_demo_page.py drives the page."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import numpy as np
import pytest

from cluster.demo import _IN_MEMORY, run_headless
from labeling.demo_config import DemoConfig
from tests.cluster.conftest import Done

pytestmark = pytest.mark.redis
ROOT = Path(__file__).parents[2]
HEADLESS = ["demo", "--headless", "--json"]


def _headless(*arguments: str) -> dict[str, Any]:
    """In a process of its own, as a user starts it."""
    command = [sys.executable, "-c", "from cluster.cli import main; main()", *HEADLESS, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, env=os.environ)
    return json.loads(done.stdout.splitlines()[-1])


def test_two_processes_give_the_same_labels_and_the_same_grid():
    first = _headless("--steps", "400", "--seed", "7", "--error-rate", "0.1")
    again = json.loads(json.dumps(run_headless(DemoConfig(seed=7, error_rate=0.1), 400)))  # in this process
    for found in (first, again):
        assert found.pop("steps_per_second") > 0
        found.pop("wall_s")
    assert first == again
    assert (first["labels"], first["steps"], first["seed"], len(first["grid"])) == (40, 400, 7, 25)


def test_neither_torch_nor_ray_is_imported_for_it():
    code = """
import sys
import tempfile
import time
from cluster.cli import app
from cluster.demo import _IN_MEMORY, run_headless
from labeling.demo_config import DemoConfig
run_headless(DemoConfig(), 30)
print([name for name in ("torch", "ray") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--preset", "person"], "drop --headless"),
        (["--preset", "both"], "choose one of oracle, person, offline"),
        (["--steps", "0"], "at least one step"),
        (["--algorithm", "dqn"], "by the planner or by ppo"),
        (["--goal", "3"], "ROW,COLUMN"),
        (["--goal", "9,9"], "row and column from 0 to 4"),
        (["--size", "40"], "3 to 12 cells"),
    ],
)
def test_bad_usage_is_one_sentence(twoclips: Callable[..., Done], arguments: list[str], told: str):
    done = twoclips(*HEADLESS, *arguments)
    assert done.code == 2
    assert done.stderr.startswith("twoclips: ")
    assert told in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.slow
def test_the_lesson_over_ten_seeds():
    """Online queries find the map and the way; as many labels about the first steps alone do not."""
    online, offline = (
        [run_headless(DemoConfig(preset=preset, seed=seed), 3000) for seed in range(1, 11)]
        for preset in ("oracle", "offline")
    )
    assert all(found["labels"] == 300 for found in (*online, *offline))
    assert min(found["reward_match"] for found in online) >= 0.95
    assert min(found["optimal_policy"] for found in online) >= 0.95
    optimal = [np.mean([found["optimal_policy"] for found in runs]) for runs in (online, offline)]
    assert optimal[0] - optimal[1] >= 0.15


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_the_page_is_there_within_seconds_and_nothing_is_left_when_it_ends(how: signal.Signals):
    began_s = time.monotonic()
    command = [
        sys.executable,
        "-c",
        "from cluster.cli import main; main()",
        "demo",
        "--no-open",
        "--port",
        "0",
        "--json",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) as demo:
        assert demo.stdout is not None
        address = json.loads(demo.stdout.readline())["address"]
        with urlopen(address, timeout=20) as reply:
            assert b"<title>The small world" in reply.read()
        ready_s = time.monotonic() - began_s
        print(f"ready in {ready_s:.1f} s")
        folders = {
            path for place in (_IN_MEMORY, tempfile.gettempdir()) for path in Path(place).glob("twoclips-demo-*")
        }
        mine = [path for path in folders if str(demo.pid) in _lock_holders(path)]
        assert len(mine) == 1
        demo.send_signal(how)
        _, said = demo.communicate(timeout=20)
    assert demo.returncode == 0
    assert "Traceback" not in said
    assert not mine[0].exists()
    assert ready_s < 15, "5 s on a quiet machine (EXPERIMENTS.md); this one may be busy"


def _lock_holders(folder: Path) -> set[str]:
    """Processes that have the folder's lock open."""
    lock = os.path.realpath(folder / "redis" / "lock")
    holders = set()
    for descriptor in Path("/proc").glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            if os.path.realpath(descriptor) == lock:
                holders.add(descriptor.parts[2])
    return holders
