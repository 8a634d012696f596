"""The pipeline's own learner as the agent of the demo: PPO on the learned reward, in place of planning.

It must find out by walking what the planner knows by thinking, so it takes tens of thousands of steps; and where it
seldom walks it learns little, so that not all arrows come right.
"""

from __future__ import annotations

import numpy as np
import torch

from actors.policy import ActorCritic, PolicyConfig
from actors.small_world import MOVES, Grid
from actors.small_world_plan import GAMMA
from actors.spaces import ActionSpec
from actors.trajectory import Rollout
from learners.learner import Learner, LearnerConfig
from learners.ppo import PPO, PPOConfig

Array = np.ndarray

ROLLOUT_STEPS = 320
_PPO = PPOConfig(learning_rate=1e-3, final_learning_rate=1.0, epochs=10, minibatch=80, entropy=0.02)
_LEAST_SPREAD = 1e-6  # of rewards that are all alike


class PPOAgent:
    """Acts by its policy, which explores by itself; every ROLLOUT_STEPS steps one update. Before the first reward it
    acts and does not learn. `Policy` of labeling/demo_policy.py."""

    def __init__(self, grid: Grid, exploration: float, seed: int) -> None:
        del exploration  # its policy has entropy of its own
        torch.set_num_threads(1)
        torch.manual_seed(seed)
        cells = grid.num_cells
        self._policy = ActorCritic(PolicyConfig(), (cells,), ActionSpec(size=0, num_choices=len(MOVES)))
        self._learner = Learner(LearnerConfig(gamma=GAMMA), self._policy, PPO(_PPO, self._policy, seed))
        self._random = np.random.default_rng((seed, 3))
        self._one_hot = np.eye(cells, dtype=np.float32)
        self._rewards: Array | None = None
        self._steps: list[tuple[int, int, int, bool]] = []
        self._read_policy()

    @property
    def arrows(self) -> Array:
        return self._log_probs.argmax(axis=1)

    def act(self, cell: int) -> int:
        return int(np.searchsorted(self._cumulative[cell], self._random.random(), side="right"))

    def saw(self, cell: int, action: int, next_cell: int, ended: bool) -> None:
        self._steps.append((cell, action, next_cell, ended))
        if len(self._steps) < ROLLOUT_STEPS:
            return
        if self._rewards is not None:
            cells = np.array([step[0] for step in self._steps])
            spread = max(float(self._rewards.std()), _LEAST_SPREAD)
            paid = (self._rewards[cells] - self._rewards.mean()) / spread
            self._learner.step([self._rollout()], [torch.from_numpy(paid[:, None].astype(np.float32))], progress=0.0)
            self._read_policy()
        self._steps.clear()

    def learn(self, rewards: Array) -> None:
        self._rewards = rewards

    def _rollout(self) -> Rollout:
        """The steps since the last update [T, 1], cut where episodes ended."""
        cells, actions, next_cells, ended = (np.array(column) for column in zip(*self._steps, strict=True))
        first = np.append(cells, next_cells[-1])  # after an end the next step's cell is that of the new episode
        ends = np.flatnonzero(ended)
        return Rollout(
            observations=self._one_hot[first][:, None],
            actions=actions[:, None],
            log_probs=self._log_probs[cells, actions][:, None],
            terminated=np.zeros((len(cells), 1), bool),
            truncated=ended[:, None],
            ends=np.stack((ends, np.zeros_like(ends)), axis=1),
            final_observations=self._one_hot[next_cells[ends]],
            policy_version=self._learner.version,
            worker=0,
        )

    @torch.no_grad()
    def _read_policy(self) -> None:
        """What it does in each cell [C, A], read out once for each update: a step then costs no forward pass."""
        head = self._policy.head(self._policy.normalise(torch.from_numpy(self._one_hot)))
        self._log_probs = torch.log_softmax(head, -1).numpy()
        self._cumulative = np.exp(self._log_probs.astype(np.float64)).cumsum(axis=1)
        self._cumulative[:, -1] = 1.0
