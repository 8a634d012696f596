"""Where the agent takes many games for one long episode, every game counts as one, and none that the clock cut off."""

from __future__ import annotations

import numpy as np
import pytest

from actors.trajectory import Hidden, Rollout
from cluster.metrics import EpisodeLog
from tests.cluster.blank import blank_rollout

ENVS = 2
HORIZON = 1000


class Games:
    """Rollouts of one worker, in which games end by chance and the clock strikes by chance, sometimes in one step."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.steps = 0

    def next(self, steps: int) -> tuple[Rollout, Hidden, np.ndarray]:
        over = self.random.random((steps, ENVS)) < 0.2
        truncated = self.random.random((steps, ENVS)) < 0.1
        places = np.argwhere(over)
        rollout = blank_rollout(truncated, self.steps)
        self.steps += steps
        games = np.column_stack((places, self.random.integers(-21, 22, len(places)))).astype(np.float64)
        states = np.zeros((steps, ENVS, 0), np.float32)
        hidden = Hidden(np.zeros((steps, ENVS), np.float32), states, games=games)
        return rollout, hidden, self.random.normal(size=(steps, ENVS))


def returns_slowly(collected: list[tuple[Rollout, Hidden, np.ndarray]]) -> list[tuple[float, float]]:
    """Twin: go from step to step with one sum for each world; a game's end notes it, both ends begin it anew."""
    found: list[tuple[float, float]] = []
    sums = [0.0] * ENVS
    for rollout, hidden, predicted in collected:
        assert hidden.games is not None
        scores = {(int(t), int(env)): float(score) for t, env, score in hidden.games}
        for t in range(len(predicted)):
            for env in range(ENVS):
                sums[env] += float(predicted[t, env])
                if (t, env) in scores:
                    found.append((scores[t, env], sums[env]))
                if (t, env) in scores or rollout.truncated[t, env]:
                    sums[env] = 0.0
    return found


@pytest.mark.parametrize("seed", range(5))
def test_every_finished_game_counts_with_its_score_and_what_was_predicted_for_its_own_steps(seed: int) -> None:
    games = Games(seed)
    collected = [games.next(int(steps)) for steps in games.random.integers(1, 20, 8)]
    log = EpisodeLog(HORIZON, recent=1000)
    for block in collected:
        log.add(*block)
    expected = returns_slowly(collected)
    assert len(expected) == log.episodes > 10
    state = log.state_dict()
    assert state["true"] == [score for score, _ in expected]
    assert state["predicted"] == pytest.approx([predicted for _, predicted in expected])


def one_world(over: list[int], cut: list[int], steps: int, first_step: int = 0) -> tuple[Rollout, Hidden, np.ndarray]:
    games = Games(0)
    games.steps = first_step
    rollout, hidden, predicted = games.next(steps)
    assert hidden.games is not None
    rollout.truncated[:] = False
    rollout.truncated[cut, 0] = True
    ends = np.argwhere(rollout.truncated)
    fields = {name: getattr(rollout, name) for name in rollout.__dataclass_fields__}
    fields |= {"ends": ends, "final_observations": np.zeros((len(ends), 1), np.float32)}
    won = np.array([(t, 0, 7.0) for t in over], np.float64).reshape(-1, 3)
    return Rollout(**fields), Hidden(hidden.true_rewards, hidden.states, games=won), np.ones_like(predicted)


def test_a_game_that_the_clock_cut_off_is_not_counted_nor_are_its_steps_to_the_next() -> None:
    log = EpisodeLog(HORIZON)
    log.add(*one_world(over=[], cut=[5], steps=8))
    assert log.episodes == 0
    log.add(*one_world(over=[3], cut=[], steps=5, first_step=8))
    assert log.summary() == {"true_return": 7.0, "predicted_return": 2.0 + 4.0, "episodes": 1}


def test_a_game_before_and_one_after_the_clock_struck_are_summed_apart() -> None:
    log = EpisodeLog(HORIZON)
    log.add(*one_world(over=[1, 7], cut=[4], steps=9))
    assert log.state_dict() == {"true": [7.0, 7.0], "predicted": [2.0, 3.0], "episodes": 2}
