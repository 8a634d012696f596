"""Scripted drivers of Enduro, who look into the console's memory, and what the judges of `enduro-level` say of
their first 3,300 steps, all but a day's end:

    python -m tests.actors.enduro_drivers
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from actors.atari import Console, rom_path
from actors.enduro import TRAFFIC, in_company, level_reward, passed, speed
from actors.judges import JUDGES

Array = np.ndarray
Driver = Callable[[Console], int]

NOTHING, THROTTLE, RIGHT, LEFT, BRAKE, BRAKE_RIGHT, BRAKE_LEFT, THROTTLE_RIGHT, THROTTLE_LEFT = range(9)
_OFFSET = 46  # how far left of the road's middle, modulo 256
_FLAT_OUT = 1000
_DAY_STEPS = 3300


def steered(console: Console, wanted: int, aside: int = 0) -> int:
    """The action that goes for a speed and for a place, `aside` of the road's middle."""
    memory = console.memory()
    left = int(memory[_OFFSET].view(np.int8)) - aside
    way = 1 if left > 3 else 2 if left < -3 else 0
    if speed(memory) < wanted:
        return (THROTTLE, THROTTLE_RIGHT, THROTTLE_LEFT)[way]
    if speed(memory) > wanted + 3:
        return (BRAKE, BRAKE_RIGHT, BRAKE_LEFT)[way]
    return (NOTHING, RIGHT, LEFT)[way]


def at_rest(_: Console) -> int:
    return NOTHING


def throttle(_: Console) -> int:
    return THROTTLE


def at_random(seed: int) -> Driver:
    random = np.random.default_rng(seed)
    return lambda console: int(random.integers(console.num_actions))


def holding(wanted: int) -> Driver:
    return lambda console: steered(console, wanted)


def level(console: Console) -> int:
    """Catches up with a car, and stays with it."""
    return steered(console, TRAFFIC if in_company(console.memory()) else TRAFFIC + 3)


def racer(wanted: int) -> Driver:
    """Past all cars: every four steps it tries out three ways, each for a second and a half from here, and takes the
    one that leaves most cars behind and least speed."""
    ways: list[int] = []

    def drive(console: Console) -> int:
        if not ways:
            ways.extend([max((0, 14, -14), key=lambda aside: tried(console, aside))] * 4)
        return steered(console, wanted, ways.pop())

    def tried(console: Console, aside: int) -> tuple[int, int]:
        now, before = console._ale.cloneState(), console.memory()
        gained = 0
        for _ in range(24):
            console.step(steered(console, wanted, aside))
            gained += int(speed(console.memory()))
        behind = -int(passed(before, console.memory()))
        console._ale.restoreState(now)
        return 20 * behind + gained, -abs(aside)

    return drive


def drive(driver: Driver, num_steps: int, noops: int = 10) -> tuple[Array, Array, float]:
    """Memories [T + 1, 128] of a game's first steps, rewards [T] of the scripted judge, and the score."""
    rom = rom_path("enduro")
    console = Console(rom)
    console.begin(noops)
    memories, rewards, score = [console.memory()], [], 0.0
    for _ in range(num_steps):
        points, _, _ = console.step(driver(console))
        memories.append(console.memory())
        rewards.append(level_reward(memories[-2], memories[-1]))
        score += points
    return np.stack(memories), np.array(rewards), score


DRIVERS: dict[str, Callable[[], Driver]] = {
    "at rest": lambda: at_rest,
    "at random": lambda: at_random(0),
    "throttle, no steering": lambda: throttle,
    "holds 12": lambda: holding(12),
    "holds 20": lambda: holding(20),
    "holds 24": lambda: holding(24),
    "holds 28": lambda: holding(28),
    "holds 40": lambda: holding(40),
    "throttle, steers": lambda: holding(_FLAT_OUT),
    "races at 60": lambda: racer(60),
    "level": lambda: level,
}


def main() -> None:
    names = list(JUDGES["enduro-level"].figures)
    print(
        f"{'driver':<22} {'no-ops':>6} {'score':>6} {'it passed':>9} {'passed it':>9} {'per step':>8} ",
        *names,
    )
    for name, make in DRIVERS.items():
        for noops in (2, 10, 30):
            memories, rewards, score = drive(make(), _DAY_STEPS, noops)
            changes = passed(memories[:-1], memories[1:])
            found = JUDGES["enduro-level"].judge(memories[:-1, None])
            print(
                f"{name:<22} {noops:>6} {score:>6.0f} {-changes[changes < 0].sum():>9} "
                f"{changes[changes > 0].sum():>9} {rewards.mean():>8.2f} ",
                *(f"{found[figure][0]:>{len(figure)}.2f}" for figure in names),
                flush=True,
            )


if __name__ == "__main__":
    main()
