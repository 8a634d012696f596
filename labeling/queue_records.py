"""What the query queue gives and refuses: plain data, for whoever speaks of it without having one."""

from __future__ import annotations

from dataclasses import dataclass


class QueueError(RuntimeError):
    """The queue refuses a transition; nothing was changed."""


class ConflictError(QueueError):
    """The id was used before, for another answer. (HTTP: 409.)"""


class LeaseLostError(QueueError):
    """The lease was never given, or is used up; or there is no such label of this labeler."""


@dataclass(frozen=True)
class Lease:
    """A query in a labeler's hands.

    token       proves it; used up by the answer
    deadline_s  server time, seconds since the epoch, after which others may be asked; an answer within a week is kept
    """

    token: str
    query_id: str
    left: str
    right: str
    labeler: str
    deadline_s: float


@dataclass(frozen=True)
class Completion:
    """What became of an answer or a retraction.

    cursor    its place in the log
    surplus   kept, but not counted
    repeated  it was there before; this is the first result
    """

    label_id: str
    cursor: str
    surplus: bool
    repeated: bool


@dataclass(frozen=True)
class Waiting:
    """A query that nobody holds and nobody has answered.

    reward_version  that scored it last; asked_version: that first did (0: none)
    is_gold         its better side is known
    """

    query_id: str
    left: str
    right: str
    reward_version: int
    asked_version: int
    is_gold: bool = False


@dataclass(frozen=True)
class Rank:
    """What a newer reward model makes of a query: its disagreement, and whether it is worth asking no longer. Of a gold
    one: that of a pair which might be asked in its place."""

    query_id: str
    disagreement: float
    stale: bool


def raised(outcome: Completion | Exception) -> Completion:
    """The outcome, or what it is an exception of."""
    if isinstance(outcome, Exception):
        raise outcome
    return outcome
