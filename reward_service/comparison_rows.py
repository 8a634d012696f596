"""The rows of an export. A row is one version of one label, as it stands in the log (surplus answers and retractions
too), with both its clips:

    label_id, query_id, labeler, answer ("left", "right", "tie", "incomparable"; null: a retraction), retracts,
    answered_at_s, surplus, evidence (JSON, or ""), gold (the side known to be better, or ""), and for each side
    (left_..., right_...) clip_id, policy_version, true_return, observations [L, O] (of pictures [K-1+L, H, W] bytes),
    actions [L] or [L, A], states [L, S]

As JSONL: one object a line, arrays as nested lists, their types in `dtypes`. Numbers are written exactly: what is read
is what was written.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from actors.failures import Failure
from actors.records import TrajectoryError
from actors.trajectory import Clip, Segment
from reward_service.comparisons import Answer, Label, check_gold
from reward_service.database import START, ComparisonDatabase

_ARRAYS = ("observations", "actions", "states")
_BATCH = 256


class ComparisonsError(Failure, RuntimeError):
    """Comparisons cannot be written or read; the message says what to do."""


@dataclass(frozen=True, eq=False)
class Row:
    """One line of the file: a label, both clips of its query, and which of them is known to be better (Query.gold)."""

    label: Label
    left: Clip
    right: Clip
    gold: str = ""


def rows_of(
    database: ComparisonDatabase,
    passed_over: Callable[[Label], object] = lambda _: None,
    unreadable: Callable[[Label], object] | None = None,
) -> Iterator[Row]:
    """All rows of the log, in order. Told to `passed_over` instead are surplus labels whose clips are gone, and what
    retracts them: an answer that came after its query was withdrawn is kept, though nothing held its clips any more.
    Told to `unreadable` (without one to `passed_over`, too) are labels with a clip that is damaged, or of a newer
    version, and what retracts them: the others can still be saved."""
    cursor = START
    while True:
        entries, cursor = database.entries_since(cursor, _BATCH)
        if not entries:
            return
        golds = database.golds_of({label.query_id for label, _, _ in entries})
        clips, damaged = database.clips.read({clip_id for _, *pair in entries for clip_id in pair})
        for label, left, right in entries:
            if {left, right} & damaged:
                (unreadable or passed_over)(label)
            elif left in clips and right in clips:
                yield Row(label, clips[left], clips[right], golds[label.query_id])
            elif label.surplus:
                passed_over(label)
            else:
                raise ComparisonsError(
                    f"the database lacks a clip of label {label.label_id}: it was changed from outside; restore "
                    "the run's redis folder from a backup"
                )


def json_line(row: Row) -> str:
    """A line of JSONL, with its end."""
    named = dict(arrays(row))
    record = scalars(row) | {name: array.tolist() for name, array in named.items()}
    record["dtypes"] = {name: array.dtype.name for name, array in named.items()}
    return json.dumps(record) + "\n"


def json_record(line: str) -> dict[str, Any]:
    """What a line of JSONL says; see `row_of`."""
    record = json.loads(line)
    for name, dtype in record["dtypes"].items():
        record[name] = np.array(record[name], np.dtype(dtype))
    return record


def scalars(row: Row) -> dict[str, Any]:
    """All that is not an array, in the order of the format."""
    label = row.label
    record: dict[str, Any] = {
        "label_id": label.label_id,
        "query_id": label.query_id,
        "labeler": label.labeler,
        "answer": label.answer.value if label.answer else None,
        "retracts": label.retracts,
        "answered_at_s": label.answered_at_s,
        "surplus": label.surplus,
        "evidence": label.evidence,
        "gold": row.gold,
    }
    for side, clip in (("left", row.left), ("right", row.right)):
        record[f"{side}_clip_id"] = clip.clip_id
        record[f"{side}_policy_version"] = clip.policy_version
        record[f"{side}_true_return"] = clip.true_return
    return record


def arrays(row: Row) -> Iterator[tuple[str, np.ndarray]]:
    """(name, array) of both sides' arrays, in the order of the format."""
    for side, clip in (("left", row.left), ("right", row.right)):
        for name, array in zip(_ARRAYS, (clip.segment.observations, clip.segment.actions, clip.states), strict=True):
            yield f"{side}_{name}", array


def row_of(record: dict[str, Any]) -> Row:
    """The row of a record. Raises KeyError, TypeError or ValueError where it is none."""
    label = Label(
        cursor="",
        label_id=str(record["label_id"]),
        query_id=str(record["query_id"]),
        labeler=str(record["labeler"]),
        answer=Answer(record["answer"]) if record["answer"] is not None else None,
        retracts=str(record["retracts"]),
        answered_at_s=float(record["answered_at_s"]),
        surplus=bool(record["surplus"]),
        evidence=str(record.get("evidence", "")),
    )
    gold = check_gold(str(record.get("gold", "")))  # a file of before there were gold queries has none
    return Row(label, _clip(record, "left"), _clip(record, "right"), gold)


def _clip(record: dict[str, Any], side: str) -> Clip:
    observations, actions, states = (record[f"{side}_{name}"] for name in _ARRAYS)
    try:
        return Clip(
            clip_id=str(record[f"{side}_clip_id"]),
            segment=Segment(observations, actions),
            states=states,
            true_return=float(record[f"{side}_true_return"]),
            policy_version=int(record[f"{side}_policy_version"]),
        )
    except TrajectoryError as error:
        raise ValueError(f"clip {record[f'{side}_clip_id']}: {error}") from error
