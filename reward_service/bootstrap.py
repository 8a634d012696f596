"""Which member learns from which comparison, and how often: split and bootstrap in one fixed draw (see dataset.py)."""

from __future__ import annotations

import hashlib
import math

import numpy as np

_CUMULATIVE_POISSON = np.cumsum([math.exp(-1.0) / math.factorial(k) for k in range(12)])


def pair_key(clip_ids: tuple[str, str]) -> str:
    """What the draw of a comparison is keyed by: its two clips, whichever is on which side."""
    return "/".join(sorted(clip_ids))


def multiplicities(key: str, members: int, seed: int) -> np.ndarray:
    """count [E] int64 ~ Poisson(1), fixed for ever by (key, member, seed): P(0) = 1/e."""
    draws = [hashlib.blake2b(f"{seed}/{member}/{key}".encode(), digest_size=8).digest() for member in range(members)]
    uniform = np.array([int.from_bytes(digest, "little") >> 11 for digest in draws]) / 2.0**53
    return np.searchsorted(_CUMULATIVE_POISSON, uniform, side="right").astype(np.int64)
