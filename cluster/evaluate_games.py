"""How a policy scores in games that the agent takes for one long episode: they are told apart again."""

from __future__ import annotations

import numpy as np

from actors.environments import make_environments
from actors.frames import Sight
from actors.policy import ActorCritic
from actors.tasks import Task
from cluster.video import Recording

Array = np.ndarray

_AT_ONCE = 16


def game_scores(task: Task, policy: ActorCritic, games: int, seed: int) -> tuple[Array, Recording]:
    """Scores [games] without penalties, and a recording of the first world's first game.

    Each world plays its share one after the other, so that short games are not the ones that count. A game longer than
    the task's horizon is broken off there, and counts with what it scored."""
    worlds = min(_AT_ONCE, games)
    shares = np.full(worlds, games // worlds) + (np.arange(worlds) < games % worlds)
    world = make_environments(task, worlds, seed, stagger=False)
    scores: list[list[float]] = [[] for _ in range(worlds)]
    running, actions = np.zeros(worlds), []
    try:
        assert world.emulator is not None
        sight = Sight(task.observation_shape, world.observations)
        while any(len(done) < share for done, share in zip(scores, shares, strict=True)):
            action = policy.deterministic(sight.observations)
            if not scores[0]:
                actions.append(action[0])
            moment = world.step(action)
            running += world.emulator.points()
            sight.push(world.observations)
            for index in {*world.emulator.games()[:, 0].astype(int).tolist(), *moment.ended.tolist()}:
                scores[index].append(float(running[index]))
                running[index] = 0.0
    finally:
        world.close()
    counted = [score for done, share in zip(scores, shares, strict=True) for score in done[:share]]
    return np.array(counted), Recording(seed, np.stack(actions), np.empty((len(actions), 0), np.float32))
