"""ComparisonDataset: the comparisons in memory, and which member may learn from which of them.

Split and bootstrap are one fixed draw. The paper gives each member its own bootstrap sample of |D| comparisons, and
has each member hold out 1/e of D for validation (section 2.2.3). |D| draws with replacement from D take comparison
n with multiplicity Binomial(|D|, 1/|D|), which tends to Poisson(1), and miss it with probability (1 - 1/|D|)^|D|,
which tends to 1/e: the share to hold out *is* the share that a bootstrap sample misses. So every (comparison, member)
gets one count ~ Poisson(1): 0 means held out, the member never trains on it; k >= 1 means k copies in its sample.

Why not draw a split and then a sample from the training part, or draw afresh when D grows: a new draw moves
comparisons across the line, and validation loss then measures memory. Here the count is a pure function of
(seed, pair of clips, member): it depends on nothing else in D, not on the order of arrival, and is the same after a
resume. It is keyed by the two clips and not by the label or the query, so that an answer given anew after a retraction,
another labeler's, and those to a marked pair, of which each labeler has a query of their own (labeling/gold.lua), stay
on their side of the line too.

Small data: with few comparisons a member may have none to train on, with probability e^-N. It sits out until one
arrives (`trainable`); nothing is moved over to it, since that would leak. The same holds for one member.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from actors.failures import Failure
from actors.frames import is_stack, kept_shape, stack_depth
from actors.networks import stacked_tensor
from actors.spaces import ActionSpec
from actors.trajectory import Segment
from reward_service.bootstrap import multiplicities, pair_key
from reward_service.columns import Columns
from reward_service.comparisons import Comparison
from reward_service.ensemble_config import pooled
from reward_service.row_table import RowTable

_SIDES = {"left": 1, "right": -1, "": 0}


class RewardDataError(Failure, ValueError):
    """What the reward service was given to learn from cannot be used."""


class NotFiniteError(RewardDataError):
    """A label compares a clip with values that are not finite: that one can be left out."""


@dataclass(frozen=True)
class DatasetSpec:
    """Of what comparisons are, and who learns from them. `max_labels` keeps only the latest (Atari in the paper: 3000;
    None: all). `pool`: pictures are kept `pooled` so."""

    members: int
    seed: int
    clip_steps: int
    observation_shape: tuple[int, ...]
    action: ActionSpec
    max_labels: int | None = None
    pool: int = 1


class ComparisonDataset:
    """N comparisons in contiguous arrays; row order has no meaning, but is the same for the same calls.

    observations [N, 2, L, *O] float32 raw, or pictures [N, 2, K-1+L, H, W] uint8 (`stacks`); actions [N, 2, L, *A]
    float32 or int64; mu [N, 2]; true_returns [N, 2]; counts [N, E] int64; labelers [N] int64, indices into
    `labeler_names`; gold [N] int64, the side known to be better (+1 left, -1 right, 0 none is); reliability [N]
    float64, how far its labeler is believed: `reliability` until `believe` knows better.
    """

    def __init__(self, spec: DatasetSpec, reliability: float = 0.95) -> None:
        self.spec = spec
        self._depth = stack_depth(spec.observation_shape)
        self._shapes = (
            (spec.clip_steps + self._depth - 1, *kept_shape(spec.observation_shape)),
            (spec.clip_steps, *spec.action.shape),
        )
        seen_shape = self._shapes[0]
        if spec.pool > 1:
            seen_shape = pooled(np.zeros(seen_shape, np.uint8), spec.pool).shape
        observation_dtype = torch.uint8 if is_stack(spec.observation_shape) else torch.float32
        action_dtype = torch.int64 if spec.action.discrete else torch.float32
        self._columns = Columns(
            observations=((2, *seen_shape), observation_dtype),
            actions=((2, *self._shapes[1]), action_dtype),
            mu=((2,), torch.float32),
            true_returns=((2,), torch.float64),
            counts=((spec.members,), torch.int64),
            labelers=((), torch.int64),
            gold=((), torch.int64),
            reliability=((), torch.float64),
        )
        self._labelers: dict[str, int] = {}  # name -> index, by first appearance
        self._unknown, self._believed = reliability, dict[str, float]()
        self._rows: dict[str, int] = {}  # label_id -> row, oldest label first
        self._label_ids: list[str] = []  # row -> label_id
        self._marked: dict[str, tuple[str, str]] = {}  # label_id -> clips of a pair that an admin had marked
        self._incomparable: set[str] = set()
        self._tables: tuple[RowTable, RowTable] | None = None

    def __len__(self) -> int:
        return len(self._label_ids)

    @property
    def num_incomparable(self) -> int:
        """Labels that said "cannot tell": counted, not stored for training (paper, section 2.2.2)."""
        return len(self._incomparable)

    def add(self, comparison: Comparison) -> bool:
        """Take in one comparison; False if it was not stored: incomparable, or a label that is here already.
        Raises RewardDataError for segments of other shapes, NotFiniteError for values that are not finite."""
        label = comparison.label
        if label.answer is None or label.label_id in self._rows:
            return False
        if label.answer.target is None:
            self._incomparable.add(label.label_id)
            return False
        sides = (comparison.left, comparison.right)
        for side in sides:
            self._check(label.label_id, side)
        if self.spec.max_labels is not None and len(self) >= self.spec.max_labels:
            self.retract(next(iter(self._rows)))
        seen = [np.ascontiguousarray(pooled(side.observations, self.spec.pool)) for side in sides]
        key = pair_key(comparison.clip_ids)
        row = self._columns.append(
            observations=torch.stack([torch.from_numpy(each) for each in seen]),
            actions=torch.stack([torch.from_numpy(np.ascontiguousarray(side.actions)) for side in sides]),
            mu=label.answer.target,
            true_returns=(comparison.left_true_return, comparison.right_true_return),
            counts=torch.from_numpy(multiplicities(key, self.spec.members, self.spec.seed)),
            labelers=self._labelers.setdefault(label.labeler, len(self._labelers)),
            gold=_SIDES[comparison.gold],
            reliability=self._believed.get(label.labeler, self._unknown),
        )
        if comparison.is_marked:
            self._marked[label.label_id] = comparison.clip_ids
        self._rows[label.label_id] = row
        self._label_ids.append(label.label_id)
        self._tables = None
        return True

    def retract(self, label_id: str) -> bool:
        """Forget a label; False if it is not here (never stored, or dropped by `max_labels`). The last row moves
        into the gap, so that the arrays stay contiguous."""
        if label_id in self._incomparable:
            self._incomparable.remove(label_id)
            return True
        if label_id not in self._rows:
            return False
        self._marked.pop(label_id, None)
        row = self._rows.pop(label_id)
        moved = self._label_ids.pop()
        if self._columns.remove(row):
            self._rows[moved], self._label_ids[row] = row, moved
        self._tables = None
        return True

    def believe(self, reliability: Mapping[str, float]) -> None:
        """How far each labeler is believed from now on, by name; one who is not named as at the start."""
        self._believed = dict(reliability)
        values = [self._believed.get(name, self._unknown) for name in self._labelers]
        self.reliability.copy_(torch.tensor(values, dtype=torch.float64)[self.labelers])

    @property
    def num_marked(self) -> int:
        """Comparisons that are gold, or were, since an admin had marked their pair."""
        return len(self._marked)

    def mark(self, marks: Mapping[tuple[str, str], str]) -> None:
        """Which of the marked pairs are gold from now on, by their clips, and which side is better; no others are."""
        for label_id, clip_ids in self._marked.items():
            self.gold[self._rows[label_id]] = _SIDES[marks.get(clip_ids, "")]

    @property
    def labeler_names(self) -> list[str]:
        """All who ever had a comparison here."""
        return list(self._labelers)

    @property
    def observations(self) -> Tensor:
        return self._columns["observations"]

    def stacks(self, observations: Tensor) -> Tensor:
        """Some of `observations` [..., L, *O] as networks see them: pictures become stacks of them, a view."""
        return observations if self._depth == 1 else stacked_tensor(observations, self._depth, dim=-3)

    @property
    def actions(self) -> Tensor:
        return self._columns["actions"]

    @property
    def mu(self) -> Tensor:
        return self._columns["mu"]

    @property
    def true_returns(self) -> Tensor:
        return self._columns["true_returns"]

    @property
    def counts(self) -> Tensor:
        return self._columns["counts"]

    @property
    def labelers(self) -> Tensor:
        return self._columns["labelers"]

    @property
    def gold(self) -> Tensor:
        return self._columns["gold"]

    @property
    def reliability(self) -> Tensor:
        return self._columns["reliability"]

    @property
    def validation_mask(self) -> Tensor:
        """[E, N] bool: True where the member must never train."""
        return (self.counts == 0).T

    @property
    def trainable(self) -> Tensor:
        """[E] bool: members with something to train on."""
        return self._row_tables()[0].totals > 0

    @property
    def measurable(self) -> Tensor:
        """[E] bool: members with something held out."""
        return self._row_tables()[1].totals > 0

    def train_batch(self, generator: torch.Generator, batch_size: int) -> Tensor:
        """Rows [E, batch] drawn with replacement from each member's bootstrap sample, so in proportion to its
        counts. The rows of a member that is not `trainable` mean nothing and must not be trained on."""
        return self._row_tables()[0].draw(generator, batch_size)

    def validation_batch(self, generator: torch.Generator, batch_size: int) -> Tensor:
        """Rows [E, batch] drawn with replacement from what each member holds out; for a member that is not
        `measurable` they mean nothing."""
        return self._row_tables()[1].draw(generator, batch_size)

    def _row_tables(self) -> tuple[RowTable, RowTable]:
        if self._tables is None:
            self._tables = (RowTable(self.counts), RowTable(self.counts == 0))
        return self._tables

    def _check(self, label_id: str, segment: Segment) -> None:
        shapes = (segment.observations.shape, segment.actions.shape)
        if shapes != self._shapes:
            raise RewardDataError(
                f"label {label_id} compares clips with observations {shapes[0]} and actions {shapes[1]}, this run has "
                f"{self._shapes[0]} and {self._shapes[1]}; use labels "
                f"only with the task and clip length that they were given for"
            )
        if not segment.is_finite:
            raise NotFiniteError(f"label {label_id} compares a clip with values that are not finite")
