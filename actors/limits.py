"""What a setting may be: each record of settings says it of its own numbers, when it is built.

within(self, learning_rate="(0, inf)", epochs="[1, inf)", hidden="[1, inf)")
"""

from __future__ import annotations

import math
from typing import Any


def within(record: Any, **intervals: str) -> None:
    """Raises ValueError for the first of the record's fields that is not in its interval: "[" and "]" include a bound,
    "(" and ")" do not. Of a tuple every element must be; what is not a number never is; None, where a field allows it,
    is left alone."""
    for name, interval in intervals.items():
        value = getattr(record, name)
        each = value if isinstance(value, tuple) else () if value is None else (value,)
        if not all(_is_in(one, interval) for one in each):
            raise ValueError(f"{name} must be {_words(interval)}, got {value}")


def _bounds(interval: str) -> tuple[str, str]:
    low, high = interval[1:-1].split(", ")
    return low, high


def _is_in(value: Any, interval: str) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    low, high = map(float, _bounds(interval))
    above = value >= low if interval[0] == "[" else value > low
    below = value <= high if interval[-1] == "]" else value < high
    return above and below and math.isfinite(value)


def _words(interval: str) -> str:
    low, high = _bounds(interval)
    if high == "inf":
        return f"at least {low}" if interval[0] == "[" else f"above {low}"
    return f"in {interval}"
