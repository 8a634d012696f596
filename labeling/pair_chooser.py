"""PairChooser: which pairs of recent clips to ask about, and which of them are gold.

    chooser.refresh()                           # the newest reward model
    chosen = chooser.choose(clips, wanted=10)

Selection and gold pairs are `labeling.selection`'s; here they meet the reward model and the random state.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from actors.devices import to_device
from actors.limits import within
from actors.trajectory import Clip
from labeling.selection import candidate_pairs, select_pairs, widest_pairs
from reward_service.ensemble import disagreement
from reward_service.snapshot import SnapshotReader

Array = np.ndarray


@dataclass(frozen=True)
class ChoiceConfig:
    """selection      "disagreement": of the candidates, those on which the ensemble disagrees most; "random": any
    candidates     pairs looked at for each query
    gold_fraction  share of the queries whose better side is known, to learn about labelers; a run with the one
                   synthetic labeler has none
    """

    selection: Literal["disagreement", "random"] = "disagreement"
    candidates: int = 10
    gold_fraction: float = 0.05

    def __post_init__(self) -> None:
        within(self, candidates="[1, inf)", gold_fraction="[0, 1]")


@dataclass(frozen=True, eq=False)
class Chosen:
    """K pairs of clips, left and right.

    disagreement          [K] of each; NaN without a reward model
    priority              [K] before which others it is to be asked: a gold pair has that of the pair for which it
                          stands, since its own would put it last
    is_gold               [K]
    unasked_disagreement  see Selection
    """

    pairs: list[tuple[Clip, Clip]]
    disagreement: Array
    priority: Array
    is_gold: Array
    unasked_disagreement: float


class PairChooser:
    """`reader` keeps its ensemble at the newest snapshot."""

    def __init__(self, config: ChoiceConfig, reader: SnapshotReader, seed: int) -> None:
        self._config, self._reader = config, reader
        self._random = np.random.default_rng(seed)

    @property
    def version(self) -> int:
        """Of the reward model at hand; 0: none yet."""
        return self._reader.version

    def refresh(self) -> None:
        """Take the newest reward model."""
        self._reader.refresh()

    def choose(self, recent: Sequence[Clip], wanted: int) -> Chosen:
        """Up to `wanted` pairs of at least two clips."""
        pairs = candidate_pairs(self._random, len(recent), wanted * self._config.candidates)
        named, pairs = np.unique(pairs, return_inverse=True)  # the others need not be scored
        clips, pairs = [recent[index] for index in named], pairs.reshape(-1, 2)
        score = self.scorer(clips) if self.version else None
        selection = select_pairs(pairs, score, wanted, self._config.selection == "disagreement")
        asked, values = selection.pairs.copy(), selection.disagreement.copy()
        places, gold = self._gold_pairs(clips, pairs, asked)
        asked[places] = gold
        if score and len(gold):
            values[places] = score(gold)
        is_gold = np.zeros(len(asked), bool)
        is_gold[places] = True
        chosen = [(clips[left], clips[right]) for left, right in asked.tolist()]
        return Chosen(chosen, values, selection.disagreement, is_gold, selection.unasked_disagreement)

    def _gold_pairs(self, clips: list[Clip], candidates: Array, asked: Array) -> tuple[Array, Array]:
        """Places [G] among the asked pairs, by lot, and the gold pairs [G, 2] of clip indices that take them."""
        if self._config.gold_fraction == 0.0:
            return np.empty(0, np.int64), np.empty((0, 2), np.int64)
        count = int(self._random.binomial(len(asked), self._config.gold_fraction))
        returns = np.array([clip.true_return for clip in clips])
        gold = widest_pairs(candidates, asked, returns, count)
        return self._random.choice(len(asked), len(gold), replace=False), gold

    def scorer(self, clips: Sequence[Clip]) -> Callable[[Array], Array]:
        """A function from pairs [N, 2] of their indices to disagreements [N]."""
        ensemble = self._reader.ensemble
        device = next(ensemble.parameters()).device
        observations = to_device(np.stack([clip.segment.observations for clip in clips]), device)
        actions = to_device(np.stack([clip.segment.actions for clip in clips]), device)
        with torch.inference_mode():
            if (depth := clips[0].segment.depth) > 1:
                observations = ensemble.stacked(observations, depth, dim=1)
            returns = ensemble.clip_returns(observations, actions)  # [E, M]

        def score(pairs: Array) -> Array:
            return disagreement(returns[:, torch.from_numpy(pairs)]).cpu().numpy()

        return score

    def state_dict(self) -> dict[str, Any]:
        return {"random": self._random.bit_generator.state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._random.bit_generator.state = state["random"]
