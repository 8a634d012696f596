"""Supervision: which components live, which are dead or stuck, and when each is started again.

    life = Life("reward service", SupervisionConfig(), tell)
    life.started()
    life.heard(steps_done)          # whenever it says how much it has done
    if life.is_stuck: ...           # alive perhaps, but nothing is done any more
    life.ended("it died")           # told, counted; `pause_s` says how long to wait before the next start

It ends and starts nothing itself: how that is done differs for Ray's processes and our own. Time is monotonic, so a
laptop that slept, or a clock that was set, makes nobody look stuck.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from actors.failures import Failure

Tell = Callable[[str, str], None]
"""Takes the name of a component and what happened to it."""


class ComponentFailure(Failure, RuntimeError):
    """A component failed in a way that starting it again would not cure."""


@dataclass(frozen=True)
class SupervisionConfig:
    """stuck_s        seconds without progress after which a component is taken for stuck, ended and started again
    starting_s     the same for a component that has just been started: it has libraries to read
    give_up_after  starts in a row, none of which lived for a minute, after which the run ends with the reason
    """

    stuck_s: float = 20.0
    starting_s: float = 120.0
    give_up_after: int = 20

    def __post_init__(self) -> None:
        if self.stuck_s <= 0 or self.starting_s < self.stuck_s or self.give_up_after < 1:
            raise ValueError(
                f"supervision needs 0 < stuck_s <= starting_s and give_up_after >= 1, got {self.stuck_s}, "
                f"{self.starting_s} and {self.give_up_after}"
            )


class Life:
    """One component of a run, whatever processes it has had so far."""

    SETTLED_S = 60.0
    MAX_PAUSE_S = 10.0

    def __init__(
        self, name: str, config: SupervisionConfig, tell: Tell, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.name, self._config, self._tell, self._clock = name, config, tell, clock
        self.restarts = -1
        self.process_id: int | None = None
        """Of the present process, once it has said so."""
        self._progress: float | None = None
        self._is_up = False  # it has done something since its last start
        self._in_a_row = 0
        self._why = ""
        self._started_s = self._heard_s = clock()
        self._listened_s = math.inf

    def started(self) -> None:
        """A process of it was just started."""
        self.restarts += 1
        self._progress, self._is_up, self.process_id = None, False, None
        self._started_s = self._heard_s = self._clock()

    def heard(self, progress: float, is_built: bool = True) -> None:
        """It says how much it has done since it was started. Only what differs from before is a sign of life. Not
        `is_built`: it is at what it had begun before it builds all anew."""
        if progress != self._progress:
            self._progress = progress
            self._heard_s = self._clock()
            self._is_up = self._is_up or is_built

    def moved(self) -> None:
        """It has done something."""
        self._is_up = True
        self._heard_s = self._clock()

    def attend(self) -> None:
        """From now on it is listened to: that it was not heard while nobody listened is no silence."""
        self._heard_s = self._clock()

    def listened(self, ago_s: float = 0.0) -> None:
        """Somebody listened to it so many seconds ago, which is the age of an answer, and perhaps not since. Whoever
        always does need not say so."""
        self._listened_s = self._clock() - ago_s

    def rebuilding(self) -> None:
        """Its process builds all anew, as after a start: it may take as long for that."""
        self._is_up = False
        self._heard_s = self._clock()

    def is_silent(self, for_s: float) -> bool:
        """Whether it gave no sign of life for longer. One that is being built is given its time."""
        return self.silent_s > (for_s if self._is_up else max(for_s, self.patience_s))

    @property
    def silent_s(self) -> float:
        """Seconds since the last sign of life, or since somebody listens."""
        return self._clock() - self._heard_s

    @property
    def patience_s(self) -> float:
        """For how long it may be silent."""
        return self._config.stuck_s if self._is_up else self._config.starting_s

    @property
    def is_stuck(self) -> bool:
        """Whether it has been silent for longer, for all that was listened."""
        return min(self._clock(), self._listened_s) - self._heard_s > self.patience_s

    def ended(self, why: str, then: str = "is started again", is_needed: bool = True) -> None:
        """Its process is gone, or was ended since it was stuck. Raises ComponentFailure where another start is vain, if
        the run cannot go on without it."""
        has_settled = self._is_up and self._clock() - self._started_s > self.SETTLED_S
        self._in_a_row = 1 if has_settled else self._in_a_row + 1
        self._why = why
        if is_needed and self._in_a_row > self._config.give_up_after:
            raise ComponentFailure(
                f"the {self.name} ended {self._in_a_row} times in a row ({why}); is memory short? lower --workers or "
                "rollout.num_envs, then continue with --resume"
            )
        self._tell(self.name, f"the {self.name} {then}: {why}")

    @property
    def pause_s(self) -> float:
        """How long to wait before the next start: not at all the first time, then ever longer."""
        return 0.0 if self._in_a_row < 2 else min(self.MAX_PAUSE_S, 0.25 * 2.0 ** min(self._in_a_row, 10))

    def as_row(self) -> dict[str, Any]:
        """What status.json says of it."""
        state = "stuck" if self.is_stuck else "at work" if self._is_up else "starting"
        return component_row(self.name, state, self.silent_s, max(0, self.restarts), self._why, self.process_id)


def component_row(
    name: str, state: str, silent_s: float, restarts: int, why: str, process_id: int | None
) -> dict[str, Any]:
    """What status.json says of any component. `why`: what ended it last."""
    return {
        "name": name,
        "state": state,
        "silent_s": round(silent_s, 1),
        "restarts": restarts,
        "why": why,
        "process_id": process_id,
    }
