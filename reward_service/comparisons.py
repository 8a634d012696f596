"""The records of the comparison database: Answer, Query, Offered, Label, Comparison, Retraction, Unreadable.

Plain data, no torch, no Redis: the web server, the queue and the trainer all speak in these.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import IntEnum, StrEnum

from actors.trajectory import Segment


class Answer(StrEnum):
    """What a labeler may say about a pair of clips (Christiano et al. 2017, section 2.2.2)."""

    LEFT = "left"
    RIGHT = "right"
    TIE = "tie"
    INCOMPARABLE = "incomparable"

    @property
    def target(self) -> tuple[float, float] | None:
        """mu, the probability mass on (first clip, second clip); None: not used for training."""
        return _TARGETS[self]


_TARGETS: dict[Answer, tuple[float, float] | None] = {
    Answer.LEFT: (1.0, 0.0),
    Answer.RIGHT: (0.0, 1.0),
    Answer.TIE: (0.5, 0.5),
    Answer.INCOMPARABLE: None,
}


def query_id_of(left: str, right: str) -> str:
    """Of the pair of these clips: it follows from them, so that a query that is offered twice, after a lost reply, is
    one query."""
    return hashlib.blake2b(f"{left}:{right}".encode(), digest_size=16).hexdigest()


def check_gold(gold: str) -> str:
    """`gold`, if it names a side or none; else ValueError."""
    if gold not in ("", Answer.LEFT, Answer.RIGHT):
        raise ValueError(f"the better side of a gold query is 'left' or 'right', and '' of any other, not {gold!r}")
    return gold


@dataclass(frozen=True)
class Query:
    """A pair of clips offered to a labeler. `left` and `right` are clip ids.

    disagreement   variance over members of P[left preferred] when it was asked; NaN when it was not scored
    reward_version snapshot that scored it (0: none)
    asked_at_s     server time, seconds since the epoch
    gold           "left" or "right": the side that is known to be better, asked to learn about the labeler; else ""
    """

    query_id: str
    left: str
    right: str
    disagreement: float
    reward_version: int
    asked_at_s: float
    gold: str = ""

    def __post_init__(self) -> None:
        if self.left == self.right:
            raise ValueError(f"a query needs two different clips, got {self.left} twice")
        check_gold(self.gold)


class Offered(IntEnum):
    """What became of a query that was offered.

    REFUSED  a clip of it is not stored (any more), or its id names another pair; the only one that is false
    QUEUED   new
    KNOWN    it was there before, and nothing was queued: it may have its answers, or be withdrawn
    """

    REFUSED = 0
    QUEUED = 1
    KNOWN = 2


@dataclass(frozen=True)
class Label:
    """One version of one labeler's answer, as it stands in the ordered log.

    label_id   chosen by whoever answered; sent twice it counts once
    cursor     position in the log, also the trainer's cursor
    retracts   label_id of the version that this one takes back, or ""; a retraction has answer None
    surplus    kept, but not counted: the query had its answers already, or was withdrawn
    evidence   JSON of how it was given (response time, plays, which side was shown where); "" where nobody looked
    """

    cursor: str
    label_id: str
    query_id: str
    labeler: str
    answer: Answer | None
    retracts: str
    answered_at_s: float
    surplus: bool = False
    evidence: str = ""


@dataclass(frozen=True, eq=False)
class Comparison:
    """One row of the paper's database D: both segments, and who said what about them when. `clip_ids` are theirs, left
    and right; `gold` as in Query; `is_marked` where an admin's mark says so, or said so: it may be taken back."""

    label: Label
    left: Segment
    right: Segment
    left_true_return: float
    right_true_return: float
    clip_ids: tuple[str, str]
    gold: str = ""
    is_marked: bool = False


@dataclass(frozen=True)
class Retraction:
    """A labeler took a label back: `label.retracts` names it. Nothing is deleted; the trainer leaves it out."""

    label: Label


@dataclass(frozen=True)
class Unreadable:
    """A label that counts, about a clip that is damaged or of a newer version: nothing can be learned from it here."""

    label: Label


LogItem = Comparison | Retraction | Unreadable
"""What a trainer is handed of the log."""
