"""Which member learns from which comparison, and how often: split and bootstrap in one fixed draw (see dataset.py)."""

from __future__ import annotations

import hashlib
import math
from typing import Literal

import numpy as np

Split = Literal["pair", "query"]
"""What one draw is for: all answers about the same two clips; or, in runs begun before that was so, one query."""

_CUMULATIVE_POISSON = np.cumsum([math.exp(-1.0) / math.factorial(k) for k in range(12)])


def split_key(split: Split, query_id: str, clip_ids: tuple[str, str]) -> str:
    """What the draw of a comparison is keyed by, whichever clip is on which side."""
    return query_id if split == "query" else "/".join(sorted(clip_ids))


def multiplicities(key: str, members: int, seed: int) -> np.ndarray:
    """count [E] int64 ~ Poisson(1), fixed for ever by (key, member, seed): P(0) = 1/e."""
    draws = [hashlib.blake2b(f"{seed}/{member}/{key}".encode(), digest_size=8).digest() for member in range(members)]
    uniform = np.array([int.from_bytes(digest, "little") >> 11 for digest in draws]) / 2.0**53
    return np.searchsorted(_CUMULATIVE_POISSON, uniform, side="right").astype(np.int64)
