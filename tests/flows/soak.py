"""An hour of a run on this machine: does anything grow, does anything slow down?

    python -m tests.flows.soak --minutes 60 --out soak.json

A half-cheetah trains from comparisons, in a Ray of its own. Every minute the memory of each of its processes (what is
its own: what it shares would change with whatever else runs) and the agent steps so far are noted. At the end a table:
what each had after ten minutes and at the end, and how the rate went. Exit code 1 where something grew by more than 5 %
after minute ten.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil

from cluster.run_folder import RunFolder
from cluster.run_status import read_status

MINUTE_S = 60.0
SETTLED_MIN = 10
GROWTH = 0.05
MIB = 2**20


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--task", default="half-cheetah")
    parser.add_argument("--out", type=Path, help="write the samples here, as JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        samples = soak(options.task, options.minutes, Path(folder))
    if options.out:
        options.out.write_text(json.dumps(samples))
    grown = show(samples)
    print(f"{'grew by more than 5 %: ' + ', '.join(grown) if grown else 'nothing grew by more than 5 %'}")
    return int(bool(grown))


def soak(task: str, minutes: int, folder: Path) -> list[dict[str, Any]]:
    """One sample a minute from the first update on: agent steps so far, and MiB by process."""
    path, log = folder / "run", folder / "log"
    steps = str(minutes * 1_500_000)  # more than it can do, and not so much more that no labels fall due meanwhile
    command = [sys.executable, "-m", "cluster.cli", "train", task, "--run", str(path), "--steps", steps]
    with log.open("w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, start_new_session=True)
    try:
        samples: list[dict[str, Any]] = []
        while len(samples) <= minutes:
            if process.poll() is not None:
                raise SystemExit(f"the run ended by itself:\n{log.read_text()[-2000:]}")
            status = read_status(RunFolder.open(path)) if (path / "config.toml").exists() else {"metrics": {}}
            if not status["metrics"].get("agent_steps"):
                time.sleep(1.0)
                continue
            metrics = status["metrics"]
            sample = {name: metrics.get(name) for name in ("agent_steps", "wall_s", "labels", "reward_version")}
            samples.append({**sample, "mib": memory(process.pid, status["components"])})
            print(f"{len(samples) - 1:4d} min {json.dumps(samples[-1])}", flush=True)
            time.sleep(MINUTE_S)
        return samples
    finally:
        process.terminate()  # not as Ctrl-C: a command in the background of a script does not hear that
        try:
            process.wait(90)
        except subprocess.TimeoutExpired:
            process.kill()


def memory(driver: int, components: list[dict[str, Any]]) -> dict[str, float]:
    """MiB of each process below the driver and of itself; of several of one kind, all together."""
    names = {component["process_id"]: component["name"] for component in components}
    found: dict[str, float] = {}
    for process in [psutil.Process(driver), *psutil.Process(driver).children(recursive=True)]:
        try:
            title = (process.cmdline() or [process.name()])[0].split("/")[-1].split("(")[0].strip()
            own = process.memory_full_info().uss / MIB
        except psutil.Error:  # ended meanwhile
            continue
        name = "driver" if process.pid == driver else names.get(process.pid, title)
        found[name] = round(found.get(name, 0.0) + own, 1)
    return found


def show(samples: list[dict[str, Any]]) -> list[str]:
    """Prints the table; the names of what grew."""
    settled, last = samples[min(SETTLED_MIN, len(samples) - 1)], samples[-1]
    print("| process | MiB at first | after 10 minutes | at the end | growth |\n|---|---|---|---|---|")
    grown: list[str] = []
    for name, mib in last["mib"].items():
        before = settled["mib"].get(name)
        if before is None:  # it was started since
            print(f"| {name} | | | {mib:,.0f} | |")
            continue
        growth = mib / before - 1
        print(f"| {name} | {samples[0]['mib'].get(name, 0):,.0f} | {before:,.0f} | {mib:,.0f} | {growth:+.1%} |")
        if growth > GROWTH:
            grown.append(name)
    pairs = pairwise(samples)
    rates = [(b["agent_steps"] - a["agent_steps"]) / (b["wall_s"] - a["wall_s"]) for a, b in pairs]
    tenths = [rates[i : i + 10] for i in range(0, len(rates), 10)]
    print("agent steps a second, by ten minutes: " + ", ".join(f"{sum(part) / len(part):,.0f}" for part in tenths))
    return grown


if __name__ == "__main__":
    sys.exit(main())
