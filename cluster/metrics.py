"""What a run measures of itself: finished episodes, and how well predicted reward follows true reward."""

from __future__ import annotations

import math
from collections import deque
from typing import Any

import numpy as np

from actors.clips import ShortRollouts
from actors.trajectory import Hidden, Rollout

Array = np.ndarray


class EpisodeLog:
    """True and predicted returns of finished episodes of full length, over all workers.

    Episodes that began staggered, or before a cut, are shorter than the horizon and are left out. Where the agent takes
    many games for one long episode, a game counts as an episode, with the score that it ended with.
    """

    def __init__(self, horizon: int, recent: int = 20) -> None:
        self._horizon = horizon
        self._running: dict[int, Array] = {}
        self._true: deque[float] = deque(maxlen=recent)
        self._predicted: deque[float] = deque(maxlen=recent)
        self.episodes = 0

    def add(self, rollout: Rollout, hidden: Hidden, predicted_rewards: Array) -> None:
        """Take in a worker's next rollout with both kinds of reward [T, B]."""
        if hidden.games is not None:
            self._add_games(rollout, hidden.games, predicted_rewards)
            return
        true_rewards = hidden.true_rewards
        running = self._of(rollout)
        begin = 0
        for stop in [*np.unique(rollout.ends[:, 0]) + 1, len(rollout.log_probs)]:
            running[0] += true_rewards[begin:stop].sum(0, dtype=np.float64)
            running[1] += predicted_rewards[begin:stop].sum(0, dtype=np.float64)
            running[2] += stop - begin
            over = (rollout.terminated | rollout.truncated)[stop - 1]
            for env in np.flatnonzero(over & (running[2] >= self._horizon)):
                self._true.append(float(running[0, env]))
                self._predicted.append(float(running[1, env]))
                self.episodes += 1
            running[:, over] = 0.0
            begin = int(stop)

    def _add_games(self, rollout: Rollout, games: Array, predicted_rewards: Array) -> None:
        running = self._of(rollout)
        sums = running[1] + np.cumsum(predicted_rewards, axis=0, dtype=np.float64)  # [T, B], of the game at hand
        cuts = np.column_stack((rollout.ends, np.full(len(rollout.ends), math.nan)))  # by the clock: no game is counted
        for t, env, score in sorted(np.concatenate((games, cuts)).tolist(), key=lambda end: end[0]):
            predicted = float(sums[int(t), int(env)])
            sums[:, int(env)] -= predicted
            if not math.isnan(score):
                self._true.append(score)
                self._predicted.append(predicted)
                self.episodes += 1
        running[1] = sums[-1]

    def _of(self, rollout: Rollout) -> Array:
        """[3, B]: true return, predicted return and steps so far of the episodes that this worker is at."""
        # A worker's first step is that of a new process, which knows nothing of the one before.
        if rollout.worker not in self._running or rollout.first_step == 0:
            self._running[rollout.worker] = np.zeros((3, rollout.log_probs.shape[1]))
        return self._running[rollout.worker]

    def cut(self) -> None:
        """All episodes start anew: forget unfinished ones."""
        self._running.clear()

    def summary(self) -> dict[str, Any]:
        """Means over the last 20 episodes; NaN before the first has ended."""
        return {
            "true_return": float(np.mean(self._true)) if self._true else math.nan,
            "predicted_return": float(np.mean(self._predicted)) if self._predicted else math.nan,
            "episodes": self.episodes,
        }

    def state_dict(self) -> dict[str, Any]:
        return {"true": list(self._true), "predicted": list(self._predicted), "episodes": self.episodes}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._true.clear()
        self._predicted.clear()
        self._true.extend(state["true"])
        self._predicted.extend(state["predicted"])
        self.episodes = state["episodes"]


class SegmentLog:
    """True against predicted sums over the latest whole segments of clip length, short rollouts joined."""

    def __init__(self, clip_steps: int) -> None:
        self._clip_steps = clip_steps
        self._short: ShortRollouts[Array] = ShortRollouts(clip_steps)
        self._sums: list[Array] = []
        self._correlation = math.nan

    def add(self, rollout: Rollout, hidden: Hidden, predicted_rewards: Array) -> None:
        """Take in a worker's next rollout with both kinds of reward [T, B]."""
        both = np.stack((hidden.true_rewards, predicted_rewards))  # [2, T, B]
        if parts := self._short.add(rollout, both):
            self._sums.append(_sums(np.concatenate(parts, axis=1), self._clip_steps))

    def correlation(self) -> float:
        """Pearson's, of the segments that were completed since it was asked for, else of those before; NaN where either
        side does not vary, and before the first."""
        if self._sums:
            true, predicted = np.concatenate(self._sums, axis=1)
            self._sums.clear()
            varies = len(true) > 1 and true.std() >= 1e-8 and predicted.std() >= 1e-8
            self._correlation = float(np.corrcoef(true, predicted)[0, 1]) if varies else math.nan
        return self._correlation

    def cut(self) -> None:
        """All episodes start anew: forget everything."""
        self._short.forget()
        self._sums.clear()
        self._correlation = math.nan


def _sums(rewards: Array, clip_steps: int) -> Array:
    """Blocks [2, T, B] -> [2, segments]."""
    whole = rewards.shape[1] // clip_steps * clip_steps
    return rewards[:, :whole].reshape(2, -1, clip_steps, rewards.shape[2]).sum(2).reshape(2, -1)
