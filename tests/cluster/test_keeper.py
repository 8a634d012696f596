"""Who keeps a detached run going."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cluster.keeper import Keeper


def test_a_driver_that_is_killed_while_it_reads_comparisons_reads_them_again_if_they_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "rows.jsonl"
    file.touch()
    drives: list[list[str]] = []

    class Driver:
        def __init__(self, command: list[str]) -> None:
            drives.append(command[command.index(str(tmp_path)) + 1 :])

        def wait(self) -> int:
            if len(drives) == 2:
                file.unlink()
            return 0 if len(drives) == 3 else -signal.SIGKILL

    monkeypatch.setattr("cluster.keeper.subprocess.Popen", Driver)
    monkeypatch.setattr("cluster.keeper.signal.signal", lambda *_: None)
    assert Keeper(tmp_path, [f"--comparisons={file}"]).run() == 0
    assert drives == [[f"--comparisons={file}"], ["--resume", f"--comparisons={file}"], ["--resume"]]


def test_whoever_keeps_a_run_imports_nothing_heavy() -> None:
    heavy = {"torch", "ray", "numpy", "mujoco"}
    script = f"import sys, cluster.keeper; print({heavy!r} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "set()"
