"""RowTable: rows of a dataset, drawn with replacement in proportion to how often each member's sample holds them."""

from __future__ import annotations

import torch
from torch import Tensor


class RowTable:
    """Each member's sample written out, one entry per copy, members end to end: a draw is then one look-up."""

    def __init__(self, counts: Tensor) -> None:
        copies = counts.T.to(torch.int64)  # [E, N]
        rows = torch.arange(copies.shape[1]).repeat(copies.shape[0])
        self.rows = rows.repeat_interleave(copies.flatten())
        self.totals = copies.sum(1)
        self.offsets = self.totals.cumsum(0) - self.totals

    def draw(self, generator: torch.Generator, batch_size: int) -> Tensor:
        uniform = torch.rand(len(self.totals), batch_size, generator=generator, dtype=torch.float64)
        drawn = (uniform * self.totals[:, None]).long()
        if len(self.rows) == 0:
            return drawn
        return self.rows[(drawn + self.offsets[:, None]).clamp_max(len(self.rows) - 1)]
