"""Simulated people: how each kind answers about two clips as they are shown, given the true returns that it perceives.

They exist to try out the pages and a pool of labelers; unlike the oracle they come over HTTP (`twoclips label
--simulate`). Left out: the short-sighted one, who judges by a clip's last steps; a clip carries its return only.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from labeling.oracle import OracleConfig, answer_by_return
from reward_service.comparisons import Answer

Judge = Callable[[float, float, random.Random], Answer]
"""(true return of the clip on the left, on the right, random) -> what is answered."""


class UnknownPersonError(ValueError):
    """No simulated person is of that kind."""


def _teacher(config: OracleConfig) -> Judge:
    return lambda left, right, dice: answer_by_return(
        config, left, right, (dice.random(), dice.random(), dice.random())
    )


def _left_biased(left: float, right: float, dice: random.Random) -> Answer:
    return Answer.LEFT if dice.random() < 0.4 or left > right else Answer.RIGHT


def _spammer(left: float, right: float, dice: random.Random) -> Answer:
    del left, right
    return dice.choice((Answer.LEFT, Answer.RIGHT))


JUDGES: dict[str, Judge] = {
    "perfect": _teacher(OracleConfig()),
    "noisy": _teacher(OracleConfig(beta=1.0)),
    "mistaken": _teacher(OracleConfig(error_rate=0.1)),
    "skipping": _teacher(OracleConfig(skip_rate=0.2)),
    "tie-loving": _teacher(OracleConfig(tie_threshold=1.0)),
    "left-biased": _left_biased,
    "spammer": _spammer,
    "adversary": _teacher(OracleConfig(error_rate=1.0)),
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
