"""Progress: how far labeling and learning have come, for the pages. Read from Redis alone, so any process can tell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from reward_service.database import ComparisonDatabase

RUN_STATUS = "training"
"""The component under which a run writes its figures (`ComparisonDatabase.set_status`), about once a second."""

_AT_WORK_S = 15.0  # a longer silence: the run is not at work


@dataclass(frozen=True)
class Progress:
    """labels: answers that count; due: wanted by now; wanted: by the end of the run; open: queries without an answer.
    The rest is the run's own latest, None where it has not said. updated_s: age of that, None while it is not at work.
    """

    labels: int
    due: int
    wanted: int
    open: int
    phase: str | None = None
    agent_steps: int | None = None
    steps: int | None = None
    true_return: float | None = None
    predicted_return: float | None = None
    validation_accuracy: float | None = None
    reward_version: int | None = None
    updated_s: float | None = None


_FIGURES = {
    "phase": str,
    "agent_steps": int,
    "steps": int,
    "true_return": float,
    "predicted_return": float,
    "validation_accuracy": float,
    "reward_version": int,
}


def read_progress(database: ComparisonDatabase) -> Progress:
    """The present state of a run's labeling; zeros for a run that has not begun."""
    counts = database.counts()
    told = database.status_of(RUN_STATUS)
    age_s = max(0.0, database.now_s() - told["updated_at_s"]) if told else None
    figures: dict[str, Any] = {}
    for name, kind in _FIGURES.items():
        value = told.get(name)
        figures[name] = None if value is None else kind(value)
    wanted = int(told.get("labels_wanted") or 0)
    return Progress(
        labels=counts["labels"],
        due=int(told.get("labels_due") or 0),
        wanted=max(wanted, counts["labels"]),
        open=counts["queries_open"],
        updated_s=age_s if age_s is not None and age_s < _AT_WORK_S else None,
        **figures,
    )
