"""The fault matrix: each part of a run at work is killed, stopped for five seconds, or asked to end; its connections to
Redis are harmed. People label all the while.

    python -m tests.flows.chaos --faults 100 --out chaos.json

After each fault the run is watched until it is in its steady state again: it acts, labels are acknowledged, the reward
model is fitted to all of them, every component is at work. The learner lives in the driver, so the two are one row. A
driver that ended is resumed at once, and Redis, which is a given one here so that a proxy can stand before it, is
started again at once, as a service manager would do.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from cluster.redis_server import PrivateRedis
from cluster.run_status import read_status
from reward_service.client import connect
from reward_service.database import ComparisonDatabase
from reward_service.snapshot import RewardSnapshot
from tests.flows.crowd import Crowd
from tests.flows.human_run import HumanRun, human_run
from tests.labeling.faulty_proxy import FaultyProxy
from tests.waiting import wait_until

PEOPLE = 4
LASTS_S = 5.0
LATE_S = 2.0
WATCHED_S = 120.0
ACTING_BAR_S, STEADY_BAR_S = 5.0, 30.0
CHECKPOINT_STEPS = 50_000

SIGNALS = {"kill -9": signal.SIGKILL, "SIGSTOP 5 s": signal.SIGSTOP, "SIGTERM": signal.SIGTERM}
PARTS = ("rollout worker", "driver", "reward service", "labeling", "labeling pages", "Redis")
NETWORK = ("reply dropped", "2 s late", "connection reset")
CLIENTS = ("driver", "labeling pages")
MATRIX = [
    *[(part, harm) for harm in SIGNALS for part in PARTS],
    *[(f"{client} <-> Redis", harm) for harm in NETWORK for client in CLIENTS],
]


@dataclass
class Outcome:
    """One fault. Seconds are counted from where the harm was over: at once, or after it had lasted."""

    part: str
    harm: str
    acting_s: float  # until three more policy updates were made: two may have been on their way
    labeling_s: float  # until another answer was acknowledged
    fitted_s: float  # until the reward model was fitted to all labels that were there
    steady_s: float  # until all of that held, and every component was at work
    steps_repeated: int
    lost: int  # labels, over all the run so far
    doubled: int

    @property
    def came_back(self) -> bool:
        return self.steady_s < WATCHED_S

    @property
    def is_within_bars(self) -> bool:
        acting_bar_s = STEADY_BAR_S if self.part == "driver" else ACTING_BAR_S
        return (
            self.acting_s <= acting_bar_s
            and self.steady_s <= STEADY_BAR_S
            and self.steps_repeated <= CHECKPOINT_STEPS
            and self.lost == self.doubled == 0
        )


class Matrix:
    """A run at work with people who label, and every harm that can be done to it."""

    def __init__(self, run: HumanRun, redis: PrivateRedis, proxy: FaultyProxy, crowd: Crowd) -> None:
        self._run, self._redis, self._proxy, self._crowd = run, redis, proxy, crowd

    def harm(self, part: str, harm: str) -> Outcome:
        """Do it, and watch the run come back."""
        steps, repeated = self._steps(), 0
        if part.endswith("<-> Redis"):
            self._harm_connection(self._process(part.removesuffix(" <-> Redis")).pid, harm)
        else:
            send(self._process(part), SIGNALS[harm])
        over_s = time.monotonic()
        if harm != "SIGSTOP 5 s" and part == "Redis":
            wait_until(lambda: self._redis.process_id is None)
            self._redis.start()
        if harm != "SIGSTOP 5 s" and part == "driver":
            steps = self._steps()
            self._run.wait_for_end()
            saved = self._saved_steps()
            repeated, steps = max(0, max(steps, self._steps()) - saved), saved
            self._run.resume()
        return self._watch(part, harm, over_s, steps, repeated)

    def _watch(self, part: str, harm: str, over_s: float, steps: int, repeated: int) -> Outcome:
        acknowledged, process_id = self._crowd.acknowledged, self._run.driver().pid
        with connect(self._redis.url) as client:
            database = ComparisonDatabase(client, self._run.folder.run_id)
            labels = database.num_labels()
            first = steps if part == "driver" else max(steps, self._steps())
            signs: dict[str, Callable[[], bool]] = {
                "acting": lambda: (
                    self._status()["process_id"] == process_id and self._steps() >= first + 3 * self._block
                ),
                "labeling": lambda: self._crowd.acknowledged > acknowledged,
                "fitted": lambda: _fitted_labels(database) >= labels,
            }
            seen_s: dict[str, float] = {}
            while len(seen_s) < len(signs) or not self._is_whole():
                if (now_s := time.monotonic() - over_s) > WATCHED_S:
                    break
                for name in [name for name, sign in signs.items() if name not in seen_s and sign()]:
                    seen_s[name] = now_s
                time.sleep(0.05)
        steady_s = time.monotonic() - over_s
        acting_s, labeling_s, fitted_s = (round(seen_s.get(name, WATCHED_S), 2) for name in signs)
        lost, doubled = self._crowd.audit()
        return Outcome(part, harm, acting_s, labeling_s, fitted_s, round(steady_s, 2), repeated, lost, doubled)

    @property
    def _block(self) -> int:
        """Agent steps of one update."""
        return self._run.folder.config.rollout.steps * self._run.folder.config.rollout.num_envs

    def _process(self, part: str) -> psutil.Process:
        if part == "Redis":
            assert self._redis.process_id is not None
            return psutil.Process(self._redis.process_id)
        if part == "rollout worker":
            return self._run.worker()
        if part == "labeling pages":
            return self._run.label_server()
        return self._run.driver() if part == "driver" else self._run.service(part)

    def _harm_connection(self, process_id: int, harm: str) -> None:
        if harm == "reply dropped":
            dropped = self._proxy.dropped
            self._proxy.drop_next(process_id)
            wait_until(lambda: self._proxy.dropped > dropped)
        elif harm == "2 s late":
            self._proxy.delay(LATE_S, process_id)
            time.sleep(LASTS_S)
            self._proxy.delay(0.0, process_id)
        else:
            wait_until(lambda: self._proxy.reset(process_id) > 0)

    def _status(self) -> dict[str, Any]:
        return read_status(self._run.folder)

    def _is_whole(self) -> bool:
        components = self._status()["components"]
        return bool(components) and all(each["state"] == "at work" for each in components)

    def _steps(self) -> int:
        """Agent steps so far, by the last whole line of metrics.jsonl."""
        with (self._run.folder.path / "metrics.jsonl").open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 16384))
            lines = file.read().split(b"\n")[:-1]
        return json.loads(lines[-1])["agent_steps"] if lines else 0

    def _saved_steps(self) -> int:
        saved = [int(path.stem.split("-")[1]) for path in self._run.folder.checkpoints.glob("checkpoint-*.pt")]
        return max(saved, default=0)


def send(process: psutil.Process, number: signal.Signals, lasts_s: float = LASTS_S) -> None:
    """Send a signal; one that stops lasts so long."""
    process.send_signal(number)
    if number == signal.SIGSTOP:
        time.sleep(lasts_s)
        process.send_signal(signal.SIGCONT)


def _fitted_labels(database: ComparisonDatabase) -> int:
    newest = database.snapshots.get()
    return RewardSnapshot.from_bytes(newest[1]).num_labels if newest else 0


@contextmanager
def matrix(folder: Path) -> Iterator[Matrix]:
    """A run that is learning, in `folder`, with people who label it."""
    with ExitStack() as stack:
        private = PrivateRedis(folder / "own")
        stack.enter_context(private)
        proxy = stack.enter_context(FaultyProxy(folder / "proxy.sock", Path(private.url.removeprefix("unix://"))))
        many = ["--labels", "200000", "--steps", "20000000", "--set", "query.initial_fraction=0.0002"]
        small = ["--set", "query.max_open=100", "--set", "loop.warmup_steps=2048", "--set", "rollout.steps=64"]
        often = ["--set", f"loop.checkpoint_steps={CHECKPOINT_STEPS}", "--set", "loop.pretrain_steps=20"]
        run = stack.enter_context(human_run(folder / "run", proxy.url, *many, *small, *often))
        crowd = stack.enter_context(Crowd(PEOPLE, run.address, private.url, run.folder.run_id))
        wait_until(run.is_learning)
        yield Matrix(run, private, proxy, crowd)
        crowd.rest()
        private.stop()
        private.start()  # what was acknowledged must be in its file
        assert crowd.audit() == (0, 0)


def survive(folder: Path, faults: Sequence[tuple[str, str]], done: Callable[[list[Outcome]], None]) -> list[Outcome]:
    """One fault after another on one run; `done` is told all outcomes so far after each."""
    outcomes: list[Outcome] = []
    with matrix(folder) as under_fire:
        for part, harm in faults:
            time.sleep(1.0)
            outcomes.append(under_fire.harm(part, harm))
            done(outcomes)
    return outcomes


def table(outcomes: Sequence[Outcome]) -> str:
    """One row for each cell of the matrix: median and greatest seconds over its faults."""
    rows = ["| part | fault | times | acting again | steady again | steps repeated | lost | doubled |"]
    rows.append("|---|---|---|---|---|---|---|---|")
    for part, harm in dict.fromkeys((each.part, each.harm) for each in outcomes):
        cell = [each for each in outcomes if (each.part, each.harm) == (part, harm)]
        acting, steady = [each.acting_s for each in cell], [each.steady_s for each in cell]
        rows.append(
            f"| {part} | {harm} | {len(cell)} | {median(acting):.1f} s, at most {max(acting):.1f} | "
            f"{median(steady):.1f} s, at most {max(steady):.1f} | {max(each.steps_repeated for each in cell):,} | "
            f"{max(each.lost for each in cell)} | {max(each.doubled for each in cell)} |"
        )
    return "\n".join(rows)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description="Harm a run at work, and measure how it comes back.")
    parser.add_argument(
        "--faults", type=int, default=len(MATRIX) * 5, help="how many; the matrix is gone through again"
    )
    parser.add_argument("--only", default="", help="only faults whose part or kind has this in its name")
    parser.add_argument("--out", type=Path, default=Path("chaos.json"), help="every outcome, as JSON")
    options = parser.parse_args(arguments)
    wanted = [fault for fault in MATRIX if options.only in " ".join(fault)]

    def done(outcomes: list[Outcome]) -> None:
        options.out.write_text(json.dumps([asdict(each) for each in outcomes], indent=1))
        print(f"{len(outcomes):4d} {outcomes[-1]}", file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory(prefix="twoclips-chaos-") as folder:
        outcomes = survive(Path(folder), list(islice(cycle(wanted), options.faults)), done)
    failed = [each for each in outcomes if not each.is_within_bars]
    print(table(outcomes))
    print(f"{len(outcomes)} faults, {len(failed)} outside of the bars")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
