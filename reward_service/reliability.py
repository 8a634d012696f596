"""How far each labeler can be believed: a posterior over r, the probability that an answer of theirs is right.

Maths only: NumPy and nothing of ours. An answer has the likelihood r p + (1 - r)(1 - p), where p is the probability
that what was answered is right: 1 or 0 for a gold query, whose better side is known; else sigmoid(slope x difference)
by those members that never trained on the query (`EnsembleFit.held_out_differences`). Ties are no evidence.

The slope belongs to the model, not to a labeler: it is chosen on a grid so that all answers together are most probable
(empirical Bayes). While the model is poor the best slope is near 0, p near one half, and nobody looks unreliable for
contradicting it. Left out: labelers whose reliability changes, and pairs that are hard for everybody alike. Where all
err equally often, that looks like a small slope: only gold can tell a poor pool from a poor model.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

Array = np.ndarray

STATUS = "reliability"
"""The component under which a run tells its estimates (`ComparisonDatabase.set_status`)."""

SLOPES = (0.0, 0.03, 0.06, 0.1, 0.15, 0.2, 0.3, 0.4, 0.55, 0.75, 1.0, 1.4, 2.0)
SHARES = {0.05: 0.75, 0.2: 0.2, 0.5: 0.05}
"""Share of a pool that may be anything -> how likely such a pool is beforehand: a few unlucky answers do not make
everybody a spammer."""

_EDGES = np.linspace(0.0, 1.0, 51)
GRID = (_EDGES[:-1] + _EDGES[1:]) / 2
"""Values of r [G], each in the middle of a cell of two hundredths. None is 0 or 1, so the loss stays bounded."""

_SURE = 1e-6  # no p is nearer to 0 or 1: no single answer can decide who somebody is
_WEIGHTLESS = 0.2
_FOLLOWED = 0.1  # of the way to the newest estimate that the usual share goes: it forgets over some ten of them


@dataclass(frozen=True)
class Reliability:
    """What is known of one labeler.

    mean         posterior mean of r: the probability that their next answer is right, which is what the loss wants
    low, high    central 95 % interval of r
    gold_right, gold_asked   of the gold queries that they answered with a side, how many rightly
    num_answers  their comparisons that count, ties included
    """

    mean: float
    low: float
    high: float
    gold_right: int
    gold_asked: int
    num_answers: int


@dataclass(frozen=True)
class PoolReliability:
    """All labelers of a run by name, and the slope that was found (0: the reward model told nothing about them).
    excluded_usual: the excluded share of the estimates before, followed slowly: against it a jump is seen."""

    labelers: Mapping[str, Reliability]
    slope: float
    excluded_usual: float = 0.0

    @property
    def means(self) -> dict[str, float]:
        return {name: labeler.mean for name, labeler in self.labelers.items()}

    @property
    def excluded_share(self) -> float:
        """Share of the counted answers that weigh next to nothing: |2 r - 1| < 0.2."""
        total = sum(labeler.num_answers for labeler in self.labelers.values())
        excluded = sum(k.num_answers for k in self.labelers.values() if abs(2 * k.mean - 1) < _WEIGHTLESS)
        return excluded / total if total else 0.0

    def following(self, before: PoolReliability) -> PoolReliability:
        """This estimate, made after `before`."""
        usual = before.excluded_usual + _FOLLOWED * (before.excluded_share - before.excluded_usual)
        return replace(self, excluded_usual=usual)

    def status(self) -> dict[str, Any]:
        """As it is published for the pages, in `ComparisonDatabase.set_status`."""
        return {
            "labelers": {
                name: {
                    "reliability": labeler.mean,
                    "low": labeler.low,
                    "high": labeler.high,
                    "gold_right": labeler.gold_right,
                    "gold_asked": labeler.gold_asked,
                    "answers": labeler.num_answers,
                }
                for name, labeler in self.labelers.items()
            },
            "slope": self.slope,
            "excluded_share": self.excluded_share,
            "excluded_usual": self.excluded_usual,
        }

    @classmethod
    def from_status(cls, status: Mapping[str, Any]) -> PoolReliability:
        """What `status` told, possibly of an older twoclips, or nothing."""
        try:
            labelers = {
                name: Reliability(
                    told["reliability"],
                    told["low"],
                    told["high"],
                    told["gold_right"],
                    told["gold_asked"],
                    told["answers"],
                )
                for name, told in status.get("labelers", {}).items()
            }
            return cls(labelers, status["slope"], status.get("excluded_usual", 0.0))
        except (KeyError, TypeError, AttributeError):
            return cls({}, 0.0)

    def state_dict(self) -> dict[str, Any]:
        return {
            "labelers": {name: asdict(labeler) for name, labeler in self.labelers.items()},
            "slope": self.slope,
            "excluded_usual": self.excluded_usual,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> PoolReliability:
        labelers = {name: Reliability(**values) for name, values in state["labelers"].items()}
        return cls(labelers, state["slope"], state.get("excluded_usual", 0.0))


@dataclass(frozen=True, eq=False)
class Evidence:
    """Every counted comparison, a side being +1 for left and -1 for right.

    labelers     [N] int64, who answered
    answers      [N] the side answered; 0: a tie
    gold         [N] the side known to be better; 0: not a gold query
    differences  [N] float64 predicted return of the left clip less that of the right, mean over the members that hold
                 the query out; NaN where none does. Log-odds are averaged and not probabilities, since they share one
                 slope, and members that disagree then cancel out
    """

    labelers: Array
    answers: Array
    gold: Array
    differences: Array


def prior(share: float) -> Array:
    """Probability [G] of each cell of GRID: share x uniform + (1 - share) x Beta(37, 1).

    Most people answer rightly, some are anything: spammers, liars. With the least of SHARES the mean is the paper's
    0.95. Why not one Beta of that mean: to leave it takes as many contradictions as it was worth, here some twenty;
    the uniform part lets go after a handful, and leaves r = 0 possible.
    """
    return np.diff(share * _EDGES + (1 - share) * _EDGES**37)


def estimate(evidence: Evidence, names: Sequence[str], error_rate: float) -> PoolReliability:
    """The posterior of every labeler who has a comparison in `evidence`; `names` are indexed by `evidence.labelers`.

    Where there is no evidence of anybody all have the mean 1 - error_rate exactly; where there is of others, a newcomer
    has the mean of a pool like this one: the share is chosen together with the slope."""
    order = np.argsort(evidence.labelers, kind="stable")
    answers, gold = evidence.answers[order], evidence.gold[order]
    differences = evidence.differences[order]
    present, group = np.unique(evidence.labelers[order], return_inverse=True)
    asked = (gold != 0) & (answers != 0)
    used = asked | ((answers != 0) & np.isfinite(differences))
    agreed, told, by = (answers * differences)[used], (answers * gold)[used], group[used]
    choices = [
        (math.log(likely) + _log_mean_exp(likelihoods, prior(share)).sum(), slope, share, likelihoods)
        for slope in SLOPES
        for likelihoods in (_likelihoods(slope * agreed, told, by, len(present)),)  # [K, G]
        for share, likely in SHARES.items()
    ]
    _, slope, share, likelihoods = max(choices, key=lambda choice: choice[0])  # of equals the first
    posterior = prior(share) * np.exp(likelihoods - likelihoods.max(axis=1, keepdims=True))
    posterior /= posterior.sum(axis=1, keepdims=True)
    below = np.cumsum(posterior, axis=1)
    found = {
        names[index]: Reliability(
            mean=float(posterior[k] @ GRID) if used.any() else 1 - error_rate,
            low=float(_EDGES[np.searchsorted(below[k], 0.025)]),
            high=float(_EDGES[1 + np.searchsorted(below[k], 0.975)]),
            gold_right=int((asked & (answers == gold))[group == k].sum()),
            gold_asked=int(asked[group == k].sum()),
            num_answers=int((group == k).sum()),
        )
        for k, index in enumerate(map(int, present))
    }
    return PoolReliability(found, slope)


def _likelihoods(log_odds: Array, told: Array, by: Array, num_labelers: int) -> Array:
    """log P[answers | r] of each labeler [K, G], of answers sorted by labeler: `log_odds` that each is right [N],
    `told` +1 or -1 where that is known."""
    right = np.where(told == 0, 0.5 * (1 + np.tanh(0.5 * np.where(told == 0, log_odds, 0.0))), told > 0)
    right = right.clip(_SURE, 1 - _SURE)
    summed = np.zeros((num_labelers, len(GRID)))
    if len(by):
        rows = np.log(np.outer(1 - right, 1 - GRID) + np.outer(right, GRID))
        labelers, starts = np.unique(by, return_index=True)
        summed[labelers] = np.add.reduceat(rows, starts)
    return summed


def _log_mean_exp(likelihoods: Array, weights: Array) -> Array:
    """log of the mean of exp [K, G] under the weights [G]: how probable each labeler's answers are."""
    top = likelihoods.max(axis=1)
    return top + np.log(np.exp(likelihoods - top[:, None]) @ weights)
