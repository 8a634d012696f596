"""Columns: rows of several tensors of one length, which grows, without gaps."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

_FIRST_CAPACITY = 64


class Columns:
    """Each column has a name, the shape of one row in it, and a dtype. `columns[name]` [N, *shape] is a view of the
    rows there are, good until the next `append`."""

    def __init__(self, **kinds: tuple[tuple[int, ...], torch.dtype]) -> None:
        self._length = 0
        self._columns = {
            name: torch.empty(_FIRST_CAPACITY, *shape, dtype=dtype) for name, (shape, dtype) in kinds.items()
        }
        self._capacity = _FIRST_CAPACITY

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, name: str) -> Tensor:
        return self._columns[name][: self._length]

    def append(self, **values: Any) -> int:
        """One row: of each column a tensor of its shape, or what becomes one. Its number."""
        assert values.keys() == self._columns.keys()
        if self._length == self._capacity:
            self._columns = {name: torch.cat((kept, torch.empty_like(kept))) for name, kept in self._columns.items()}
            self._capacity *= 2
        row = self._length
        for name, value in values.items():
            column = self._columns[name]
            column[row] = torch.as_tensor(value, dtype=column.dtype)
        self._length += 1
        return row

    def remove(self, row: int) -> bool:
        """Takes a row out. Whether the last one was moved into its place."""
        last = self._length - 1
        if row != last:
            for column in self._columns.values():
                column[row] = column[last]
        self._length = last
        return row != last
