from __future__ import annotations

import math
from dataclasses import dataclass

import pytest

from actors.limits import within


@dataclass(frozen=True)
class Settings:
    rate: float = 1.0
    layers: tuple[int, ...] = (1, 2)
    most: int | None = None


@pytest.mark.parametrize(
    ("interval", "fits", "does_not"),
    [
        ("(0, inf)", [1e-9, 1, 1e9], [0.0, -1.0, math.inf, math.nan]),
        ("[0, inf)", [0.0, 3], [-1e-9, math.inf, math.nan, True, "1"]),
        ("(0, 1]", [1e-9, 1.0], [0, 1.0001]),
        ("[0, 1)", [0, 0.999], [1.0]),
    ],
)
def test_a_bound_belongs_to_the_interval_or_does_not(interval: str, fits: list[float], does_not: list[float]) -> None:
    for value in fits:
        within(Settings(rate=value), rate=interval)
    for value in does_not:
        with pytest.raises(ValueError, match="rate must be"):
            within(Settings(rate=value), rate=interval)


def test_every_element_of_a_tuple_must_fit_and_none_is_left_alone() -> None:
    within(Settings(), layers="[1, inf)", most="[1, inf)")
    with pytest.raises(ValueError, match=r"layers must be at least 1, got \(1, 0\)"):
        within(Settings(layers=(1, 0)), layers="[1, inf)")
    with pytest.raises(ValueError, match="most must be at least 1, got 0"):
        within(Settings(most=0), most="[1, inf)")
