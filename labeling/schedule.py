"""How many labels are wanted by agent step T (Christiano et al. 2017, appendix A.1).

A quarter (`initial_fraction`) at the start, from the untrained policy; after that the rate is proportional to
c / (T + c). The paper's c = 2e6 belongs to runs of 20M steps; here c is a tenth of the run, whatever its length. The
rate's integral is c ln(1 + T / c), scaled so that the last label falls due at the last step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

LEAST_LABELS = 4


@dataclass(frozen=True)
class LabelSchedule:
    """total_labels by total_steps; `offline` wants them all at the start (the paper's ablation). `overlap` labels are
    counted for each query."""

    total_labels: int
    total_steps: int
    initial_fraction: float = 0.25
    offline: bool = False
    overlap: int = 1

    def __post_init__(self) -> None:
        if self.total_labels < 0 or self.total_steps < 1:
            wrong = f"{self.total_labels} and {self.total_steps}"
            raise ValueError(f"a label schedule needs total_labels >= 0 and total_steps >= 1, got {wrong}")
        if not 0.0 <= self.initial_fraction <= 1.0:
            raise ValueError(f"initial_fraction must be between 0 and 1, got {self.initial_fraction}")

    @property
    def initial_labels(self) -> int:
        """Labels wanted before the first update of the policy: never so few that every member may hold them all out,
        and no reward is learned."""
        if self.offline:
            return self.total_labels
        return min(self.total_labels, max(LEAST_LABELS, round(self.initial_fraction * self.total_labels)))

    def due(self, step: int) -> int:
        """Labels wanted by agent step `step`, whole ones; never fewer at a later step."""
        if self.offline or step >= self.total_steps:
            return self.total_labels
        c = self.total_steps / 10
        share = math.log1p(max(step, 0) / c) / math.log1p(self.total_steps / c)
        return self.initial_labels + math.floor((self.total_labels - self.initial_labels) * share)

    def queries(self, labels: int) -> int:
        """How many queries must be open for so many labels to come in."""
        return math.ceil(labels / self.overlap)
