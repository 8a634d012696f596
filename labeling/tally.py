"""Tally: what the log of labels says about each labeler, and about the pool. Read on from where it was left.

    tally = Tally(database)
    tally.update()                       # cheap: what was answered since the last call
    tally.labelers()["anna"].left_share  # (0.48, 0.35, 0.61)

It is a function of the log alone, so any process may build it at any time; it holds one short record for each label.
A label that was taken back counts no longer: its labeler stays, with `last_s`. Where that labeler has answered the same
query twice, the other answer does not take its place beside those of others.
"""

from __future__ import annotations

import json
import math
import threading
from bisect import bisect_left, insort
from collections import deque
from dataclasses import dataclass, field
from statistics import NormalDist

from labeling.desk import MIRRORED
from reward_service.comparisons import Answer, Label
from reward_service.database import START, ComparisonDatabase

RATE_WINDOW_S = 600.0
_TIMED = 200  # latest labels whose way into a snapshot is timed

Share = tuple[float, float, float]
"""A share and the ends of its 95 % interval."""


@dataclass(frozen=True)
class LabelerFigures:
    """One labeler's standing answers, surplus ones included; None for what there is nothing to say of yet.

    median_response_s  of an even number of answers the lower middle one
    left_share         of left among left and right, as shown on screen
    agreement          share of the others' answers to the same queries that are this labeler's too
    last_s             server time of the latest answer
    """

    labeler: str
    answers: int
    median_response_s: float | None
    left_share: Share | None
    agreement: Share | None
    last_s: float


@dataclass
class _Counts:
    answers: int = 0
    response_s: list[float] = field(default_factory=list)  # in order of size
    left: int = 0
    right: int = 0
    agreed: int = 0
    met: int = 0
    last_s: float = 0.0


@dataclass(frozen=True)
class _Given:
    label_id: str
    labeler: str
    query_id: str
    answer: Answer
    mirrored: bool | None
    response_s: float | None


class Tally:
    """Of one run. Safe to share between threads."""

    def __init__(self, database: ComparisonDatabase) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._cursor = START
        self._given: dict[str, _Given] = {}
        self._by_query: dict[str, dict[str, _Given]] = {}
        self._recent: deque[tuple[float, str]] = deque()
        self._timed: deque[tuple[tuple[int, int], float, str]] = deque(maxlen=_TIMED)
        self._counts: dict[str, _Counts] = {}

    def update(self) -> None:
        """Takes in what the log has more. Errors of the connection come through; the next call goes on."""
        with self._lock:
            while True:
                labels, cursor = self._database.labels_since(self._cursor)
                for label in labels:
                    self._take(label)
                self._cursor = cursor
                if not labels:
                    return

    def labelers(self) -> dict[str, LabelerFigures]:
        """Everybody who ever answered."""
        with self._lock:
            return {name: _figures(name, counts) for name, counts in self._counts.items()}

    def num_given(self, now_s: float, within_s: float) -> int:
        """Standing answers of the last `within_s` seconds, at most RATE_WINDOW_S, of all labelers."""
        with self._lock:
            while self._recent and self._recent[0][0] < now_s - RATE_WINDOW_S:
                self._recent.popleft()
            return sum(at >= now_s - within_s and label_id in self._given for at, label_id in self._recent)

    def use_delays_s(self, publications: list[tuple[str, float]]) -> tuple[list[float], int]:
        """Seconds from the key press of each of the latest labels to the first snapshot that saw it, and how many wait
        for theirs. publications: (cursor in the log, server time) of snapshots, in order."""
        places = [_place(cursor) for cursor, _ in publications]
        delays: list[float] = []
        waiting = 0
        with self._lock:
            for place, waited_s, label_id in self._timed:
                if label_id not in self._given:
                    continue
                first = bisect_left(places, place)
                if first < len(places):  # a place in the log begins with the time at which it was taken
                    delays.append(waited_s + max(0.0, publications[first][1] - place[0] / 1000))
                else:
                    waiting += 1
        return delays, waiting

    def _take(self, label: Label) -> None:
        if label.answer is None:
            self._forget(label.retracts)
            return
        mirrored, response_s, waited_s = _evidence(label.evidence)
        given = _Given(label.label_id, label.labeler, label.query_id, label.answer, mirrored, response_s)
        self._given[label.label_id] = given
        self._recent.append((label.answered_at_s, label.label_id))
        if not label.surplus and label.answer.target is not None:
            self._timed.append((_place(label.cursor), waited_s, label.label_id))
        mine = self._counts.setdefault(label.labeler, _Counts())
        mine.last_s = max(mine.last_s, label.answered_at_s)
        if response_s is not None:
            insort(mine.response_s, response_s)
        self._count(given, 1)
        others = self._by_query.setdefault(given.query_id, {})
        if given.labeler not in others:  # who answered twice meets the others once
            self._meet(given, 1)
            others[given.labeler] = given

    def _forget(self, label_id: str) -> None:
        given = self._given.pop(label_id, None)
        if given is None:
            return
        mine = self._counts[given.labeler]
        if given.response_s is not None:
            del mine.response_s[bisect_left(mine.response_s, given.response_s)]
        self._count(given, -1)
        others = self._by_query[given.query_id]
        if others.get(given.labeler) is given:
            del others[given.labeler]
            self._meet(given, -1)

    def _count(self, given: _Given, by: int) -> None:
        mine = self._counts[given.labeler]
        mine.answers += by
        if given.mirrored is not None:
            shown = MIRRORED.get(given.answer, given.answer) if given.mirrored else given.answer
            mine.left += by * (shown is Answer.LEFT)
            mine.right += by * (shown is Answer.RIGHT)

    def _meet(self, given: _Given, by: int) -> None:
        for other in self._by_query[given.query_id].values():
            for name in (given.labeler, other.labeler):
                self._counts[name].met += by
                self._counts[name].agreed += by * (other.answer is given.answer)


def _figures(name: str, counts: _Counts) -> LabelerFigures:
    times = counts.response_s
    return LabelerFigures(
        labeler=name,
        answers=counts.answers,
        median_response_s=times[(len(times) - 1) // 2] if times else None,
        left_share=_share(counts.left, counts.left + counts.right),
        agreement=_share(counts.agreed, counts.met),
        last_s=counts.last_s,
    )


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """95 % interval of a share that keeps within 0 and 1 and holds for few trials too (Wilson 1927, as in Brown, Cai
    and DasGupta 2001, equation 4)."""
    z = NormalDist().inv_cdf(0.975)
    share = successes / trials
    scale = 1 + z * z / trials
    middle = share + z * z / (2 * trials)
    half = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)


def _share(successes: int, trials: int) -> Share | None:
    return (successes / trials, *wilson_interval(successes, trials)) if trials else None


def _place(cursor: str) -> tuple[int, int]:
    milliseconds, _, number = cursor.partition("-")
    return int(milliseconds), int(number)


def _evidence(text: str) -> tuple[bool | None, float | None, float]:
    """Whether the sides were shown swapped, and the seconds until the answer, None for what was not noted; and those
    that the answer waited in the browser."""
    try:
        found = json.loads(text) if text else {}
        mirrored, response_s, waited_s = found.get("mirrored"), found.get("response_s"), found.get("waited_s")
    except (ValueError, AttributeError):  # an imported log may hold anything
        return None, None, 0.0
    return mirrored if isinstance(mirrored, bool) else None, _seconds(response_s), _seconds(waited_s) or 0.0


def _seconds(value: object) -> float | None:
    return value if isinstance(value, int | float) and math.isfinite(value) else None
