"""Enduro's level mode: how far an agent drives level with the traffic, from the console's memory.

Which byte says what was found by measurement, with ale-py 0.12.1; `tests/actors/test_enduro.py` plays it again:

22     speed: 6 at rest, one more for every step or two of throttle, down at once to 6 in a crash
71     modulo 256: one more for every car that passes the agent's, one less for every car that it passes. The counter on
       the screen says the same from 200 down, and stands still there, so a car at rest that all others pass scores 0
27-33  the rows of the road from near to far: another car there, or 0

On a game's first day all other cars go at one speed. Held at 24, none passes either way; at 22 some pass the agent's,
at 26 it passes some. On the second day they are faster, but that comes only for whoever has passed 200 cars.
"""

from __future__ import annotations

import numpy as np

Array = np.ndarray

REST, TRAFFIC = 6, 24
PASS_COST = 10.0
_SPEED, _BALANCE, _ROWS = 22, 71, slice(27, 34)


def speed(memory: Array) -> Array:
    """[...] int of memories [..., 128] uint8."""
    return memory[..., _SPEED].astype(int)


def passed(before: Array, after: Array) -> Array:
    """Cars that passed the agent's between two memories [..., 128] of a game, less those that it passed: [...] int."""
    change = after[..., _BALANCE].astype(int) - before[..., _BALANCE]
    return (change + 128) % 256 - 128


def in_company(memory: Array) -> Array:
    """Whether another car is on the road ahead or beside: [...] bool. It may be hidden by fog."""
    return np.asarray(memory[..., _ROWS].any(axis=-1))


def level_reward(before: Array, after: Array) -> float:
    """The scripted judge of `enduro-level`, for one step. As fast as the traffic is worth 1, at rest or as much faster
    than the traffic 0, and half of that where no other car is to be seen: alone nobody is level with anybody. A car
    that passes either way costs as much as ten steps of driving bring, some 0.7 s."""
    driving = np.clip(1.0 - abs(speed(after) - TRAFFIC) / (TRAFFIC - REST), 0.0, 1.0)
    company = 1.0 if in_company(after) else 0.5
    return float(driving * company - PASS_COST * abs(passed(before, after)))
