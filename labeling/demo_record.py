"""Record: what a session of the demo has to tell: figures over time, what happened, the latest question."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace

from actors.small_world import cells_seen
from actors.trajectory import Clip
from reward_service.comparisons import Answer, Label

FIGURES = ("agent_steps", "labels", "match", "optimal", "loss")
_MOST_POINTS = 240
_MOST_EVENTS = 60
_SAID = {
    Answer.LEFT: "the left path is better",
    Answer.RIGHT: "the right path is better",
    Answer.TIE: "both are equally good",
    Answer.INCOMPARABLE: "cannot tell",
}


@dataclass(frozen=True)
class Figures:
    """step: agent steps. labels: that the reward map was fitted to. match, optimal: from 0 to 1. loss: in nats."""

    step: int
    labels: int
    match: float
    optimal: float
    loss: float


@dataclass(frozen=True)
class Asked:
    """The latest pair: its clips, the cells of both paths, and the answer once there is one."""

    clip_ids: tuple[str, str]
    left: list[int]
    right: list[int]
    disagreement: float
    answer: str = ""


@dataclass(frozen=True)
class Event:
    """number: from 1, in order. step: agent steps when it happened."""

    number: int
    step: int
    text: str


@dataclass
class Record:
    """The curve keeps at most _MOST_POINTS points from the start on: when it is full every second one goes, and from
    then on points come half as often. The newest figures are always there."""

    asked: Asked | None = None
    events: deque[Event] = field(default_factory=lambda: deque(maxlen=_MOST_EVENTS))
    columns: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in FIGURES})
    newest: Figures | None = None
    num_events: int = 0
    _stride: int = 1
    _skipped: int = 0

    def tell(self, step: int, text: str) -> None:
        self.num_events += 1
        self.events.append(Event(self.num_events, step, text))

    def ask(self, left: Clip, right: Clip, disagreement: float) -> None:
        cells = [cells_seen(clip.segment.observations).tolist() for clip in (left, right)]
        ids = left.clip_id, right.clip_id
        self.asked = Asked(ids, cells[0], cells[1], 0.0 if disagreement != disagreement else disagreement)

    def answered(self, step: int, labels: int, label: Label, clip_ids: tuple[str, str]) -> None:
        """An answer, maybe about an older pair than the latest: that one waited for a person."""
        answer = label.answer or Answer.INCOMPARABLE
        if self.asked is not None and self.asked.clip_ids == clip_ids:
            self.asked = replace(self.asked, answer=answer.value)
        who = "Oracle" if label.labeler == "oracle" else "You"
        self.tell(step, f"Label {labels}. {who}: {_SAID[answer]}.")

    def measure(self, step: int, labels: int, match: float, optimal: float, loss: float) -> None:
        self.newest = Figures(step, labels, match, optimal, loss)
        self._skipped += 1
        if self._skipped < self._stride:
            return
        self._skipped = 0
        values = (step, labels, round(match, 4), round(optimal, 4), round(loss, 4))
        for name, value in zip(FIGURES, values, strict=True):
            self.columns[name].append(value)
        if len(self.columns["agent_steps"]) > _MOST_POINTS:
            self._stride *= 2
            self.columns = {name: column[::2] for name, column in self.columns.items()}
