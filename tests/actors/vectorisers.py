"""How fast 16 games of Pong are stepped and pictured on one thread, by our vectoriser and by ale-py's own.

    python -m tests.actors.vectorisers

In processor time and in turns, so that other work on the machine falls on both. Not a test: what is faster is for
ARCHITECTURE.md to judge, by more than this number.
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from time import process_time

import numpy as np
from ale_py.vector_env import AtariVectorEnv

from actors.atari import AtariSimulator, rom_path

GAMES, STEPS, TURNS = 16, 100, 8


def main() -> None:
    ours = AtariSimulator(rom_path("pong"), (), 0.0, GAMES, seed=0)
    ours.reset(np.arange(GAMES))
    theirs = AtariVectorEnv("pong", GAMES, num_threads=1, reward_clipping=False, use_fire_reset=False)
    theirs.reset(seed=0)
    random = np.random.default_rng(0)

    def step_ours() -> None:
        ours.step(random.integers(0, 6, GAMES))
        ours.observe()

    def step_theirs() -> None:
        theirs.step(random.integers(0, 6, GAMES))

    steppers: dict[str, Callable[[], None]] = {"ours": step_ours, "AtariVectorEnv": step_theirs}
    rates: dict[str, list[float]] = {name: [] for name in steppers}
    for _ in range(TURNS):
        for name, step in steppers.items():
            begin = process_time()
            for _ in range(STEPS):
                step()
            rates[name].append(GAMES * STEPS / (process_time() - begin))
    for name, found in rates.items():
        print(f"{name}: {median(found):,.0f} steps a second, {min(found):,.0f} to {max(found):,.0f}")


if __name__ == "__main__":
    main()
