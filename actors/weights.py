"""The policy as it travels; without torch, which not everybody that it passes through has."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class PolicyWeights:
    """One version of the policy as it travels: `vector` [W] float32 holds parameters, then buffers."""

    version: int
    vector: np.ndarray
