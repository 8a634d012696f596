"""A file of comparisons: JSONL or Parquet, with the rows of reward_service/comparison_rows.py.

Parquet: the same names, arrays as nested lists of their own type. What is read is what was written.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cluster.writing import writing
from reward_service.comparison_rows import ComparisonsError, Row, arrays, json_line, json_record, row_of, scalars

FORMATS = ("jsonl", "parquet")

_BATCH = 256


def write_rows(out: Path, form: str, rows: Iterable[Row]) -> int:
    """Write the file whole or not at all; the number of rows. Raises WritingError."""
    count = 0

    def counted() -> Iterator[Row]:
        nonlocal count
        for row in rows:
            count += 1
            yield row

    temporary = out.with_name(out.name + ".tmp")
    try:
        with writing(out, "--out"):
            out.parent.mkdir(parents=True, exist_ok=True)
            (_write_jsonl if form == "jsonl" else _write_parquet)(temporary, counted())
            temporary.replace(out)
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
            yield row_of(record)
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
        file.writelines(map(json_line, rows))


def _read_jsonl(file: Path) -> Iterator[dict[str, Any]]:
    with file.open(encoding="utf-8") as stream:
        yield from map(json_record, stream)


def _write_parquet(path: Path, rows: Iterable[Row]) -> None:
    rows = iter(rows)
    writer: pq.ParquetWriter | None = None
    try:
        while batch := list(islice(rows, _BATCH)):
            schema = writer.schema if writer else _schema(batch[0])
            records = [scalars(row) | {name: array.tolist() for name, array in arrays(row)} for row in batch]
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


def _schema(row: Row) -> Any:
    """Arrow's schema: columns typed as the arrays of the first row are; those of a run are all alike."""
    kinds = {str: pa.string(), float: pa.float64(), int: pa.int64(), bool: pa.bool_(), type(None): pa.string()}
    fields = [(name, kinds[type(value)]) for name, value in scalars(row).items()]
    for name, array in arrays(row):
        kind = pa.from_numpy_dtype(array.dtype)
        for _ in range(array.ndim):
            kind = pa.list_(kind)
        fields.append((name, kind))
    return pa.schema(fields)


def _leaf(kind: Any) -> np.dtype[Any]:
    while pa.types.is_list(kind):
        kind = kind.value_type
    return np.dtype(kind.to_pandas_dtype())
