"""A file of comparisons: JSONL or Parquet. A row is one version of one label, as it stands in the log (surplus answers
and retractions too), with both its clips:

    label_id, query_id, labeler, answer ("left", "right", "tie", "incomparable"; null: a retraction), retracts,
    answered_at_s, surplus, evidence (JSON, or ""), gold (the side known to be better, or ""), and for each side
    (left_..., right_...) clip_id, policy_version, true_return, observations [L, O], actions [L] or [L, A],
    states [L, S]

JSONL: one object a line, arrays as nested lists, their types in `dtypes`. Parquet: the same names, arrays as nested
lists of their own type. Numbers are written exactly: what is read is what was written.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from actors.trajectory import Clip, Segment, TrajectoryError
from reward_service.comparisons import Answer, Label, check_gold

FORMATS = ("jsonl", "parquet")

_ARRAYS = ("observations", "actions", "states")
_BATCH = 256


class ComparisonsError(RuntimeError):
    """A file of comparisons cannot be written or read; the message says what to do."""


@dataclass(frozen=True, eq=False)
class Row:
    """One line of the file: a label, both clips of its query, and which of them is known to be better (Query.gold)."""

    label: Label
    left: Clip
    right: Clip
    gold: str = ""


def write_rows(out: Path, form: str, rows: Iterable[Row]) -> int:
    """Write the file whole or not at all; the number of rows."""
    count = 0

    def counted() -> Iterator[Row]:
        nonlocal count
        for row in rows:
            count += 1
            yield row

    temporary = out.with_name(out.name + ".tmp")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        (_write_jsonl if form == "jsonl" else _write_parquet)(temporary, counted())
        temporary.replace(out)
    except OSError as error:
        raise ComparisonsError(
            f"cannot write {out} ({error.strerror or error}); free some space or name another file with --out"
        ) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    return count


def read_rows(file: Path) -> Iterator[Row]:
    """The rows of a file of either format. Raises ComparisonsError where it is damaged or something else."""
    number = 0
    try:
        with file.open("rb") as stream:
            is_parquet = stream.read(4) == b"PAR1"
        for record in _read_parquet(file) if is_parquet else _read_jsonl(file):
            yield _row(record)
            number += 1
    except OSError as error:
        raise ComparisonsError(
            f"cannot read {file} ({error.strerror or error}); name a file of `twoclips export`"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError, pa.ArrowException) as error:
        raise ComparisonsError(
            f"{file} is no file of `twoclips export`, or damaged, after {number} rows ({type(error).__name__}: "
            f"{error}); export it again"
        ) from error


def _write_jsonl(path: Path, rows: Iterable[Row]) -> None:
    with path.open("w", encoding="utf-8") as file:
        for row in rows:
            arrays = {f"{side}_{name}": array for side, name, array in _arrays(row)}
            record = _scalars(row) | {name: array.tolist() for name, array in arrays.items()}
            record["dtypes"] = {name: array.dtype.name for name, array in arrays.items()}
            file.write(json.dumps(record) + "\n")


def _read_jsonl(file: Path) -> Iterator[dict[str, Any]]:
    with file.open(encoding="utf-8") as stream:
        for line in stream:
            record = json.loads(line)
            for name, dtype in record["dtypes"].items():
                record[name] = np.array(record[name], np.dtype(dtype))
            yield record


def _write_parquet(path: Path, rows: Iterable[Row]) -> None:
    rows = iter(rows)
    writer: pq.ParquetWriter | None = None
    try:
        while batch := list(islice(rows, _BATCH)):
            schema = writer.schema if writer else _schema(batch[0])
            records = [
                _scalars(row) | {f"{side}_{name}": array.tolist() for side, name, array in _arrays(row)}
                for row in batch
            ]
            writer = writer or pq.ParquetWriter(path, schema, compression="zstd")
            writer.write_table(pa.Table.from_pylist(records, schema))
    finally:
        if writer:
            writer.close()


def _read_parquet(file: Path) -> Iterator[dict[str, Any]]:
    with pq.ParquetFile(file) as parquet:
        dtypes = {field.name: _leaf(field.type) for field in parquet.schema_arrow if pa.types.is_list(field.type)}
        for batch in parquet.iter_batches(_BATCH):
            for record in batch.to_pylist():
                for name, dtype in dtypes.items():
                    record[name] = np.array(record[name], dtype)
                yield record


def _schema(row: Row) -> pa.Schema:
    """Columns typed as the arrays of the first row are; those of a run are all alike."""
    kinds = {str: pa.string(), float: pa.float64(), int: pa.int64(), bool: pa.bool_(), type(None): pa.string()}
    fields = [(name, kinds[type(value)]) for name, value in _scalars(row).items()]
    for side, name, array in _arrays(row):
        kind = pa.from_numpy_dtype(array.dtype)
        for _ in range(array.ndim):
            kind = pa.list_(kind)
        fields.append((f"{side}_{name}", kind))
    return pa.schema(fields)


def _leaf(kind: pa.DataType) -> np.dtype:
    while pa.types.is_list(kind):
        kind = kind.value_type
    return np.dtype(kind.to_pandas_dtype())


def _scalars(row: Row) -> dict[str, Any]:
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


def _arrays(row: Row) -> Iterator[tuple[str, str, np.ndarray]]:
    for side, clip in (("left", row.left), ("right", row.right)):
        for name, array in zip(_ARRAYS, (clip.segment.observations, clip.segment.actions, clip.states), strict=True):
            yield side, name, array


def _row(record: dict[str, Any]) -> Row:
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
