"""Desk: what a labeler sees and does, without HTTP: pairs with sides drawn by lot, answers as they were shown.

    desk = Desk(queue, database)
    [pair] = desk.claim_all([("anna", token)])  # None while there is nothing to label
    desk.answer_all([(Given("anna", token, pair.lease.query_id, label_id, Answer.LEFT), {"response_s": 3.1})])

It keeps nothing of a run between two calls, so any number of processes may serve one. Which clip is shown on which side
follows from the token of the lease: whoever answers later, after a restart too, is understood as what was on screen.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from actors.trajectory import Clip
from labeling.queue import QueryQueue
from labeling.queue_records import Completion, Lease
from reward_service.comparisons import Answer
from reward_service.database import ComparisonDatabase

MIRRORED = {Answer.LEFT: Answer.RIGHT, Answer.RIGHT: Answer.LEFT}
"""What an answer is called when the clips have changed sides; the others keep their names."""
GOLD_SHARE = 0.05
"""Share of claims that are for a pair which an admin has marked, as long as the labeler has not seen it."""
MOST_LEASES = 20
"""Pairs that one labeler may hold: five tabs of a page that shows one and holds three ahead. Else one could hold all
that wait."""
_CLAIM_TRIES = 8  # pairs in a row that cannot be shown; more of them are found at the next claim


@dataclass(frozen=True, eq=False)
class Pair:
    """A query in a labeler's hands, its clips on the sides on which they are shown."""

    lease: Lease
    left: Clip
    right: Clip


@dataclass(frozen=True)
class Given:
    """An answer as a browser sends it: `answer` in terms of the sides that were shown, `label_id` made there."""

    labeler: str
    token: str
    query_id: str
    label_id: str
    answer: Answer


def is_mirrored(token: str) -> bool:
    """Whether the query's left clip is shown on the right for this lease: a fair lot, fixed by the token."""
    return bool(hashlib.blake2b(token.encode(), digest_size=4).digest()[-1] & 1)


class Desk:
    """One run's labeling, for any labeler. Errors are the queue's and the connection's."""

    def __init__(self, queue: QueryQueue, database: ComparisonDatabase) -> None:
        self.queue, self.database = queue, database
        self._secret = secrets.token_bytes(16)

    def claim_all(self, several: Sequence[tuple[str, str]]) -> list[Pair | None]:
        """For each labeler and token the most wanted pair, or None where there is none now, or they hold MOST_LEASES.
        The same token again gives the same pair. A pair with a clip that is gone, or cannot be read, is withdrawn, and
        the next one taken."""
        pairs: list[Pair | None] = [None] * len(several)
        wanted = list(range(len(several)))
        for _ in range(_CLAIM_TRIES):
            wishes = [(*several[at], self._is_for_gold(several[at][1])) for at in wanted]
            leases = self.queue.claim_all(wishes, MOST_LEASES)
            named = (clip_id for lease in leases if lease for clip_id in (lease.left, lease.right))
            clips = self.database.clips.readable(named)
            given = [(at, lease) for at, lease in zip(wanted, leases, strict=True) if lease]
            wanted = []
            for at, lease in given:
                if lease.left in clips and lease.right in clips:
                    sides = clips[lease.left], clips[lease.right]
                    pairs[at] = Pair(lease, *(reversed(sides) if is_mirrored(lease.token) else sides))
                else:
                    self._withdraw(lease)
                    wanted.append(at)
            if not wanted:
                break
        return pairs

    def holds_most(self, labeler: str) -> bool:
        """Whether this labeler holds MOST_LEASES, and is given nothing more."""
        return self.queue.num_held(labeler) >= MOST_LEASES

    def _is_for_gold(self, token: str) -> bool:
        """A lot that whoever makes tokens can neither know nor choose. Each process draws its own: a claim that is
        repeated at another one finds its lease, so that nothing hangs on the second draw."""
        lot = hashlib.blake2b(token.encode(), digest_size=4, key=self._secret).digest()
        return int.from_bytes(lot, "big") < GOLD_SHARE * 2**32

    def answer_all(self, several: Sequence[tuple[Given, Mapping[str, Any]]]) -> list[Completion | Exception]:
        """Stores what was said about each pair, and how; what became of it, or the queue's ConflictError or
        LeaseLostError, in order."""
        calls: list[tuple[Lease, Answer, str, str]] = []
        for given, evidence in several:
            mirrored = is_mirrored(given.token)
            answer = MIRRORED.get(given.answer, given.answer) if mirrored else given.answer
            kept = json.dumps({**evidence, "mirrored": mirrored}, separators=(",", ":"))
            calls.append((self._lease(given.labeler, given.token, given.query_id), answer, given.label_id, kept))
        return self.queue.complete_all(calls)

    def heartbeat(self, labeler: str, token: str) -> float | None:
        """The new deadline of a lease, in server time; None where it is over."""
        lease = self.queue.heartbeat(self._lease(labeler, token))
        return None if lease is None else lease.deadline_s

    def retract(self, labeler: str, label_id: str, retraction_id: str) -> Completion:
        """Takes an answer of this labeler back."""
        return self.queue.retract(labeler, label_id, retraction_id)

    def set_aside(self, labeler: str, token: str) -> bool:
        """Gives a pair that this labeler's browser cannot draw to others; False where the lease is over."""
        return self.queue.set_aside(self._lease(labeler, token))

    def withdraw(self, labeler: str, token: str) -> bool:
        """Stops asking a pair that this labeler holds and nobody can be shown; False where the lease is over."""
        query_id = self.queue.held(labeler, token)
        if query_id is None:
            return False
        self._withdraw(self._lease(labeler, token, query_id))
        return True

    def _withdraw(self, lease: Lease) -> None:
        """Nor is it asked of its holder again: a marked pair has a query of theirs alone, which would be made anew at
        their next claim."""
        self.queue.withdraw(lease.query_id)
        self.queue.set_aside(lease)

    def _lease(self, labeler: str, token: str, query_id: str = "") -> Lease:
        """A lease as far as a browser can prove one: the queue checks the token, and needs no more."""
        return Lease(token, query_id, "", "", labeler, 0.0)
