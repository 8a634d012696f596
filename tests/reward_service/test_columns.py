"""Columns beside a list of rows that does the same."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from reward_service.columns import Columns


def make() -> Columns:
    return Columns(place=((2,), torch.float32), number=((), torch.int64))


@given(st.lists(st.integers(-1, 200), max_size=300))
def test_rows_stay_without_gaps_whatever_is_taken_out(deeds: list[int]) -> None:
    """-1 adds a row, anything else takes one out."""
    columns, rows = make(), list[int]()
    for number, deed in enumerate([*[-1] * 70, *deeds]):  # more than it has room for at first
        if deed < 0 or not rows:
            assert columns.append(place=(number, number / 2), number=number) == len(rows)
            rows.append(number)
        else:
            at = deed % len(rows)
            assert columns.remove(at) == (at != len(rows) - 1)
            last = rows.pop()
            if at < len(rows):
                rows[at] = last
    assert len(columns) == len(rows)
    assert columns["number"].tolist() == rows
    assert columns["place"].tolist() == [[number, number / 2] for number in rows]


def test_a_column_is_a_view_that_can_be_written_to() -> None:
    columns = make()
    columns.append(place=torch.zeros(2), number=1)
    columns["number"][0] = 7
    assert columns["number"].tolist() == [7]


def test_a_row_has_every_column() -> None:
    with pytest.raises(AssertionError):
        make().append(number=1)
