"""TabularEnsemble: reward models of one number per cell, fitted to comparisons by gradient steps, in NumPy.

    ensemble = TabularEnsemble(TabularConfig(members=3), num_cells=25, seed=1)
    ensemble.add(label_id, query_id, visits, mu)    # visits [2, C]: how often each clip was in each cell
    ensemble.fit(steps=10)
    ensemble.rewards                                # [C], the members' mean

The likelihood is that of `losses.bradley_terry`, which the tests hold beside it, gradient and all; which member learns
from which comparison is up to `bootstrap.py`. *Why not torch:* a page that must be there within seconds has no time for
its import, and 25 numbers have no use for it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reward_service.bootstrap import multiplicities

Array = np.ndarray

RELIABILITY = 0.95
"""r: the paper's error floor of 10 %."""
_FIRST_SPREAD = 0.05
_FIRST_CAPACITY = 256


def bradley_terry(differences: Array, mu: Array, reliability: float = RELIABILITY) -> tuple[Array, Array]:
    """Loss [...] in nats and its gradient [...] by the difference of the two returns.

    differences [...] of predicted returns, first minus second; mu [...] the mass on the first: 1, 0 or 0.5."""
    p = 1.0 / (1.0 + np.exp(-np.clip(differences, -500.0, 500.0)))
    wrong = 1.0 - reliability
    first = (reliability - wrong) * p + wrong
    second = 1.0 - first
    loss = -(mu * np.log(first) + (1.0 - mu) * np.log(second))
    slope = (reliability - wrong) * p * (1.0 - p)
    return loss, -slope * (mu / first - (1.0 - mu) / second)


def disagreement(differences: Array) -> Array:
    """Differences of returns [E, ...] -> variance over members of P[first preferred], [...]."""
    return (1.0 / (1.0 + np.exp(-np.clip(differences, -500.0, 500.0)))).var(axis=0)


@dataclass(frozen=True)
class TabularConfig:
    """batch: comparisons in a gradient step. l2: pulls every cell's number to 0, where nothing is known of it."""

    members: int = 3
    learning_rate: float = 0.3
    batch: int = 64
    l2: float = 1e-3

    def __post_init__(self) -> None:
        if not 1 <= self.members <= 16:
            raise ValueError(f"an ensemble has 1 to 16 members, not {self.members}")


class TabularEnsemble:
    """E members, one number for each of C cells. All that it does follows from the seed and the order of calls."""

    def __init__(self, config: TabularConfig, num_cells: int, seed: int) -> None:
        self.config, self.num_cells, self._seed = config, num_cells, seed
        self._visits = np.zeros((_FIRST_CAPACITY, num_cells))  # first clip's minus second clip's
        self._mu = np.zeros(_FIRST_CAPACITY)
        self._counts = np.zeros((_FIRST_CAPACITY, config.members))
        self._labels: list[str] = []
        self._begin()

    def _begin(self) -> None:
        self._random = np.random.default_rng((self._seed, 17))
        self.members = self._random.normal(0.0, _FIRST_SPREAD, (self.config.members, self.num_cells))
        self.num_steps = 0

    def __len__(self) -> int:
        return len(self._labels)

    @property
    def rewards(self) -> Array:
        """[C]: what the agent is paid for acting in a cell, the members' mean."""
        return self.members.mean(axis=0)

    def differences(self, visits: Array) -> Array:
        """visits [N, 2, C] -> differences of returns [E, N], first minus second."""
        return self.members @ (visits[:, 0] - visits[:, 1]).T

    def add(self, label_id: str, query_id: str, visits: Array, mu: float) -> None:
        """One comparison. visits [2, C]; mu: the mass on the first clip. Each member takes it as often as its bootstrap
        sample holds it; one member alone takes all once, since a sample would only lose some."""
        count = len(self._labels)
        if count == len(self._mu):
            for name in ("_visits", "_mu", "_counts"):
                array: Array = getattr(self, name)
                setattr(self, name, np.concatenate((array, np.zeros_like(array))))
        members = self.config.members
        self._visits[count], self._mu[count] = visits[0] - visits[1], mu
        self._counts[count] = multiplicities(query_id, members, self._seed) if members > 1 else 1
        self._labels.append(label_id)

    def remove(self, label_id: str, steps: int) -> None:
        """Forget a comparison that was taken back: all is fitted anew without it, `steps` for each that is left.
        One that is not there is no error: what was never learned from need not be forgotten."""
        if label_id not in self._labels:
            return
        at = self._labels.index(label_id)
        del self._labels[at]
        for array in (self._visits, self._mu, self._counts):
            array[at:-1] = array[at + 1 :]
        self._begin()
        self.fit(steps * len(self._labels))

    def fit(self, steps: int) -> None:
        """Gradient steps, each on comparisons drawn at random; nothing happens while there is none."""
        count = len(self._labels)
        if count == 0:
            return
        size = min(self.config.batch, count)
        for _ in range(steps):
            rows = self._random.integers(count, size=size) if count > size else np.arange(count)
            visits = self._visits[rows]
            _, slopes = bradley_terry(self.members @ visits.T, self._mu[rows])
            gradient = (slopes * self._counts[rows].T) @ visits / size + self.config.l2 * self.members
            self.members -= self.config.learning_rate * gradient
        self.num_steps += steps

    def loss(self) -> float:
        """Mean Bradley-Terry loss of the members' mean over all comparisons; log 2 is guessing, and all without any."""
        count = len(self._labels)
        if count == 0:
            return float(np.log(2.0))
        return float(bradley_terry(self._visits[:count] @ self.rewards, self._mu[:count])[0].mean())
