"""Simulated people: how each kind answers about two clips as they are shown, given the true returns that it perceives.

They exist to try out the pages, over HTTP (`twoclips label --simulate`), and pools of labelers, in place of the one
oracle (`SyntheticPool`).
"""

from __future__ import annotations

from actors.failures import UsageError
from labeling.oracle import Dice, Judge, OracleConfig, SyntheticLabeler, teacher
from labeling.queue import QueryQueue
from reward_service.comparisons import Answer
from reward_service.database import ComparisonDatabase


class UnknownPersonError(UsageError, ValueError):
    """No simulated person is of that kind."""


def _left_biased(left: float, right: float, dice: Dice) -> Answer:
    return Answer.LEFT if dice.random() < 0.4 or left >= right else Answer.RIGHT


def _spammer(left: float, right: float, dice: Dice) -> Answer:
    del left, right
    return Answer.LEFT if dice.random() < 0.5 else Answer.RIGHT


SHORT_SIGHTED = "short-sighted"
"""Who perceives mostly what came last: see `oracle.perceived_return`."""

JUDGES: dict[str, Judge] = {
    "perfect": teacher(OracleConfig()),
    "noisy": teacher(OracleConfig(beta=1.0)),
    "mistaken": teacher(OracleConfig(error_rate=0.1)),
    "skipping": teacher(OracleConfig(skip_rate=0.2)),
    "tie-loving": teacher(OracleConfig(tie_threshold=1.0)),
    SHORT_SIGHTED: teacher(OracleConfig()),
    "left-biased": _left_biased,
    "spammer": _spammer,
    "adversary": teacher(OracleConfig(error_rate=1.0)),
}


def parse_people(text: str) -> list[str]:
    """`"perfect:3,mistaken"` -> a kind for every person. Raises UnknownPersonError."""
    people: list[str] = []
    for part in text.split(","):
        kind, _, count = part.strip().partition(":")
        if kind not in JUDGES or not (count or "1").isdigit() or int(count or "1") < 1:
            raise UnknownPersonError(
                f"{part.strip()!r} is no simulated person: use KIND or KIND:NUMBER with {', '.join(JUDGES)}"
            )
        people += [kind] * int(count or "1")
    return people


def _who_sees(judge: Judge, tie_threshold: float) -> Judge:
    """Such a judge, of clips that look alike where they differ by no more than that. A spammer does not look."""
    if tie_threshold == 0.0 or judge is _spammer:
        return judge
    return lambda left, right, dice: Answer.TIE if abs(left - right) <= tie_threshold else judge(left, right, dice)


class SyntheticPool:
    """Synthetic labelers of several kinds who take turns, named "perfect-0" and so on.

    Whose turn it is follows from the number of labels in the log, so that a run that is resumed, or a service that is
    started again, goes on with the next in line. Where true returns differ by no more than `tie_threshold` nobody sees
    a difference, and all who look say so."""

    def __init__(
        self, kinds: list[str], queue: QueryQueue, database: ComparisonDatabase, seed: int, tie_threshold: float = 0.0
    ) -> None:
        self._database = database
        self._people = [
            SyntheticLabeler(
                OracleConfig(name=f"{kind}-{index}", short_sighted=kind == SHORT_SIGHTED),
                queue,
                database,
                seed,
                _who_sees(JUDGES[kind], tie_threshold),
            )
            for index, kind in enumerate(kinds)
        ]

    def step(self, max_labels: int = 64) -> int:
        """Up to `max_labels` answers, one from each in turn; how many were given. Who is given nothing is passed over,
        and when that is so of all in a row it returns."""
        turn, answered, idle = self._database.num_labels(), 0, 0
        while answered < max_labels and idle < len(self._people):
            given = self._people[turn % len(self._people)].step(max_labels=1)
            answered += given
            idle = 0 if given else idle + 1
            turn += 1
        return answered
