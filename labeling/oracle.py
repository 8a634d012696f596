"""Synthetic labelers: they answer by the clips' true return, through the same queue and database as people do.

The options are the teachers of B-Pref (Lee et al. 2021): mistake (error_rate), skip (skip_rate, skip_below), equal
(tie_threshold), the rational one (beta) and the myopic one (short_sighted). Every choice follows from (seed, name,
query), so neither the order of claims nor a restart changes it.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from actors.trajectory import Clip
from labeling.queue import QueryQueue
from labeling.queue_records import LeaseLostError
from reward_service.comparisons import Answer
from reward_service.database import ComparisonDatabase


class Dice(Protocol):
    """Where chance comes from: `random.Random`, or a generator of NumPy."""

    def random(self) -> float: ...


Judge = Callable[[float, float, Dice], Answer]
"""(return of the left clip as it is perceived, of the right one, dice) -> what is answered."""


@dataclass(frozen=True)
class OracleConfig:
    """How a synthetic labeler answers; as it stands, perfectly.

    name           the labeler's, in the log
    people         several labelers in place of the one, by kind and number: see people.py
    error_rate     probability of giving the opposite answer
    skip_rate      probability of answering INCOMPARABLE
    skip_below     INCOMPARABLE when neither clip's true return reaches this
    tie_threshold  TIE when the true returns differ by no more than this
    short_sighted  judges by `Clip.late_return`: what happens last counts most
    beta           P[left preferred] = sigmoid(beta * difference of true returns); infinite: always the better one
    """

    name: str = "oracle"
    people: str = ""
    error_rate: float = 0.0
    skip_rate: float = 0.0
    skip_below: float = -math.inf
    tie_threshold: float = 0.0
    beta: float = math.inf
    short_sighted: bool = False

    def __post_init__(self) -> None:
        for name in ("error_rate", "skip_rate"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} must be between 0 and 1, got {getattr(self, name)}")
        for name in ("tie_threshold", "beta"):
            if not getattr(self, name) >= 0.0:
                raise ValueError(f"{name} must be 0 or more, got {getattr(self, name)}")


def answer_by_return(config: OracleConfig, left: float, right: float, draws: tuple[float, float, float]) -> Answer:
    """The answer about two true returns, given three uniform draws from [0, 1): for skipping, choosing and erring."""
    skip, choose, err = draws
    if skip < config.skip_rate or max(left, right) < config.skip_below:
        return Answer.INCOMPARABLE
    difference = left - right
    if not math.isfinite(difference):
        return Answer.INCOMPARABLE
    if abs(difference) <= config.tie_threshold:
        return Answer.TIE
    prefers_left = difference > 0 if math.isinf(config.beta) else choose < _sigmoid(config.beta * difference)
    return Answer.LEFT if prefers_left != (err < config.error_rate) else Answer.RIGHT


def teacher(config: OracleConfig) -> Judge:
    """Who answers as `config` says."""
    return lambda left, right, dice: answer_by_return(
        config, left, right, (dice.random(), dice.random(), dice.random())
    )


def perceived_return(clip: Clip, short_sighted: bool) -> float:
    """What such a labeler sees in a clip. One that does not say what came last is seen whole."""
    return clip.late_return if short_sighted and clip.late_return is not None else clip.true_return


class SyntheticLabeler:
    """One synthetic labeler. step() answers what the queue has for it and never waits. Given a `judge`, it answers like
    that one and takes only its name from `config`."""

    def __init__(
        self,
        config: OracleConfig,
        queue: QueryQueue,
        database: ComparisonDatabase,
        seed: int,
        judge: Judge | None = None,
    ) -> None:
        self.config = config
        self._judge = judge or teacher(config)
        self._queue = queue
        self._database = database
        self._seed = seed

    def step(self, max_labels: int = 64) -> int:
        """Claims up to `max_labels` queries and answers them; returns how many, 0 when the queue has none for it.

        A query with a clip that is gone, or cannot be read, is withdrawn. Connection errors come through: what was
        claimed and not answered goes back to the queue when its lease runs out, what was answered is stored."""
        answered = 0
        while answered < max_labels and (lease := self._queue.claim(self.config.name)) is not None:
            clips = self._database.clips.readable([lease.left, lease.right])
            if len(clips) < 2:
                self._queue.withdraw(lease.query_id)
                self._queue.set_aside(lease)
                continue
            digest = self._digest(lease.query_id)
            left, right = (perceived_return(clips[s], self.config.short_sighted) for s in (lease.left, lease.right))
            answer = self._judge(left, right, np.random.default_rng(list(digest)))
            label_id = digest[:16].hex()
            try:
                completion = self._queue.complete(lease, answer, label_id)
            except LeaseLostError:
                continue  # a namesake answered meanwhile
            answered += not completion.repeated
        return answered

    def _digest(self, query_id: str) -> bytes:
        return hashlib.sha256(f"{self._seed}:{self.config.name}:{query_id}".encode()).digest()


def _sigmoid(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x)) if x >= 0 else math.exp(x) / (1.0 + math.exp(x))
