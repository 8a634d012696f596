"""How a policy fares in games that the agent takes for one long episode: they are told apart again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from actors.atari import AtariSimulator
from actors.environments import make_environments
from actors.frames import Sight
from actors.judges import JUDGES
from actors.policy import ActorCritic
from actors.tasks import Task
from cluster.video import Recording

Array = np.ndarray

_AT_ONCE = 16


@dataclass(frozen=True, eq=False)
class Games:
    """true_returns [games], without penalties; scores [games], the game's own; the figures [games] of the task's judge,
    none where it has none; and a recording of the first world's first game."""

    true_returns: Array
    scores: Array
    judged: dict[str, Array]
    recording: Recording


def play_games(task: Task, policy: ActorCritic, games: int, seed: int) -> Games:
    """Each world plays its share one after the other, so that short games are not the ones that count. A game longer
    than the task's horizon is broken off there, and counts with what it came to."""
    worlds, judge = min(_AT_ONCE, games), JUDGES.get(task.name)
    shares = np.full(worlds, games // worlds) + (np.arange(worlds) < games % worlds)
    world = make_environments(task, worlds, seed, stagger=False)
    ended: list[list[tuple[float, float, dict[str, Array]]]] = [[] for _ in range(worlds)]
    memories: list[list[Array]] = [[] for _ in range(worlds)]
    running, actions = np.zeros((2, worlds)), []
    try:
        emulator = world.emulator
        assert isinstance(emulator, AtariSimulator)
        sight = Sight(task.observation_shape, world.observations)
        while any(len(done) < share for done, share in zip(ended, shares, strict=True)):
            action = policy.deterministic(sight.observations)
            if not ended[0]:
                actions.append(action[0])
            if judge is not None:
                for kept, memory in zip(memories, emulator.memories(), strict=True):
                    kept.append(memory)
            moment = world.step(action)
            running += emulator.points(), emulator.scored()
            sight.push(world.observations)
            for index in {*emulator.games()[:, 0].astype(int).tolist(), *moment.ended.tolist()}:
                found = judge.judge(np.stack(memories[index])[:, None]) if judge is not None else {}
                ended[index].append((float(running[0, index]), float(running[1, index]), found))
                running[:, index] = 0.0
                memories[index].clear()
    finally:
        world.close()
    counted = [each for done, share in zip(ended, shares, strict=True) for each in done[:share]]
    names = judge.figures if judge is not None else ()
    return Games(
        np.array([true for true, _, _ in counted]),
        np.array([score for _, score, _ in counted]),
        {name: np.array([float(found[name][0]) for _, _, found in counted]) for name in names},
        Recording(seed, np.stack(actions), np.empty((len(actions), 0), np.float32)),
    )
