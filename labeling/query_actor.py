"""QueryActor: offers the pairs that the reward model would learn most from, as many as the schedule wants by now.

    actor.observe(rollout, hidden, agent_steps)   # recent behaviour comes in
    actor.step()                                  # queries go out

It cannot proceed while it has fewer than two clips or enough queries are waiting; then `step` offers nothing and says
so in its metrics. It never waits for a labeler. What waits for people is ranked anew as the reward model changes.
"""

from __future__ import annotations

import hashlib
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from actors.clips import ClipCutter
from actors.limits import within
from actors.tasks import Task
from actors.trajectory import Clip, Hidden, Rollout
from labeling.practice import Practice
from labeling.rerank import Reranker
from labeling.schedule import LabelSchedule
from labeling.selection import candidate_pairs, select_pairs, widest_pairs
from reward_service.comparisons import Query
from reward_service.database import ComparisonDatabase
from reward_service.ensemble import RewardEnsemble, disagreement
from reward_service.snapshot import SnapshotReader

Array = np.ndarray


@dataclass(frozen=True)
class QueryConfig:
    """candidates: pairs looked at per query asked. recent_clips: how many clips of the current policy to draw from.
    max_open: queries that may wait for a labeler at once, so that what people see is never old. gold_fraction: share of
    the queries whose better side is known, to learn about labelers; a run with the one synthetic labeler has none."""

    selection: Literal["disagreement", "random"] = "disagreement"
    candidates: int = 10
    recent_clips: int = 512
    max_open: int = 1000
    initial_fraction: float = 0.25
    offline: bool = False
    gold_fraction: float = 0.05

    def __post_init__(self) -> None:
        within(self, candidates="[1, inf)", recent_clips="[2, inf)", max_open="[1, inf)")
        within(self, initial_fraction="[0, 1]", gold_fraction="[0, 1]")


class QueryActor:
    """Turns recent rollouts into queries. `reader` keeps `ensemble` at the newest snapshot; a `reranker` goes over
    what waits whenever that is newer, where queries wait at all: people are slow, a synthetic labeler is not. With
    `practice` the run keeps some clips for people to practise on, about which nobody is asked."""

    def __init__(
        self,
        config: QueryConfig,
        task: Task,
        schedule: LabelSchedule,
        database: ComparisonDatabase,
        reader: SnapshotReader,
        seed: int,
        reranker: Reranker | None = None,
        practice: Practice | None = None,
    ) -> None:
        self._config, self._task, self._schedule = config, task, schedule
        self._database, self._reader, self._reranker, self._practice = database, reader, reranker, practice
        self._kept_for_practice: frozenset[str] = frozenset()
        self._cutter = ClipCutter(task.preset.clip_steps, task.action)
        self._clips: deque[Clip] = deque(maxlen=config.recent_clips)
        self._random = np.random.default_rng(seed)
        self._agent_steps = 0
        self._disagreement = {"asked": math.nan, "unasked": math.nan}

    def observe(self, rollout: Rollout, hidden: Hidden, agent_steps: int) -> None:
        """Take in the current policy's latest behaviour. The oldest clips are forgotten first. A clip that comes once
        more, of an agent that does the same in a world that does the same, is one clip."""
        cut = self._cutter.cut(rollout, hidden)
        fresh = {clip.clip_id: clip for clip in cut if clip.clip_id not in self._kept_for_practice}
        for clip in [clip for clip in self._clips if clip.clip_id in fresh]:
            self._clips.remove(clip)
        self._clips.extend(fresh.values())
        self.reach(agent_steps)

    def reach(self, agent_steps: int) -> None:
        """The run has come to this step: more labels may be due, whether or not its behaviour was shown here."""
        self._agent_steps = max(self._agent_steps, agent_steps)

    def forget(self) -> None:
        """Drop all recent clips: a checkpoint is a clean cut, so that what follows does not depend on what was."""
        self._clips.clear()
        self._cutter.forget()

    def step(self) -> dict[str, float]:
        """Rank anew what waits, then offer what is wanted now, in place of what was withdrawn too. Clips are stored
        before the query that names them is offered."""
        reranked = self._rerank()
        self._keep_for_practice()
        counts = self._database.counts()
        waiting, answered = counts["queries_open"], counts["labels"]
        due = self._schedule.due(self._agent_steps)
        wanted = min(self._schedule.queries(due - answered), self._config.max_open) - waiting
        asked = self._ask(wanted) if wanted > 0 and len(self._clips) > 1 else 0
        return {
            "labels_due": float(due),
            "labels": float(answered),
            "queries_open": float(waiting + asked),
            "queries_asked": float(asked),
            **{name: float(counts[name]) for name in ("queries_refused", "clips_dropped", "clips_refused")},
            "disagreement_asked": self._disagreement["asked"],
            "disagreement_unasked": self._disagreement["unasked"],
            **reranked,
        }

    def _rerank(self) -> dict[str, float]:
        if self._reranker is None:
            return {}
        self._reader.refresh()
        if self._reader.version:
            self._reranker.step(self._reader.version, self._clips, self._scorer)
        return self._reranker.metrics()

    def _keep_for_practice(self) -> None:
        """Once, and before anything is asked about the same clips. An actor that takes another's place finds what that
        kept, and a run that begins anew may act the same clips once more."""
        if self._practice is None or self._kept_for_practice or not self._clips:
            return
        self._kept_for_practice = self._practice.keep(self._database, self._clips)
        others = [clip for clip in self._clips if clip.clip_id not in self._kept_for_practice]
        self._clips.clear()
        self._clips.extend(others)

    def _ask(self, wanted: int) -> int:
        self._reader.refresh()
        pairs = candidate_pairs(self._random, len(self._clips), wanted * self._config.candidates)
        named, pairs = np.unique(pairs, return_inverse=True)  # the others need not be scored
        clips, pairs = [self._clips[index] for index in named], pairs.reshape(-1, 2)
        score = self._scorer(clips) if self._reader.version else None
        selection = select_pairs(pairs, score, wanted, self._config.selection == "disagreement")
        asked, values = selection.pairs, selection.disagreement.copy()
        places, gold = self._gold_pairs(clips, pairs, asked)
        asked[places] = gold
        if score and len(gold):
            values[places] = score(gold)
        self._database.put_clips([clips[index] for index in dict.fromkeys(asked.ravel().tolist())])
        queries = [
            self._query(clips[left], clips[right], float(value), place in places)
            for place, ((left, right), value) in enumerate(zip(asked.tolist(), values, strict=True))
        ]
        self._disagreement = {"asked": float(values.mean()), "unasked": selection.unasked_disagreement}
        # A gold pair waits where the pair would have that it stands for: its own disagreement would put it last.
        return sum(self._database.offer(queries, selection.disagreement.tolist()))

    def _gold_pairs(self, clips: list[Clip], candidates: Array, asked: Array) -> tuple[Array, Array]:
        """Places [G] among the asked pairs, by lot, and the gold pairs [G, 2] of clip indices that take them."""
        if self._config.gold_fraction == 0.0:
            return np.empty(0, np.int64), np.empty((0, 2), np.int64)
        count = int(self._random.binomial(len(asked), self._config.gold_fraction))
        returns = np.array([clip.true_return for clip in clips])
        gold = widest_pairs(candidates, asked, returns, count)
        return self._random.choice(len(asked), len(gold), replace=False), gold

    def _scorer(self, clips: list[Clip]) -> Callable[[Array], Array]:
        ensemble: RewardEnsemble = self._reader.ensemble
        device = next(ensemble.parameters()).device
        with torch.inference_mode():
            returns = ensemble.clip_returns(
                torch.from_numpy(np.stack([clip.segment.stacks for clip in clips])).to(device),
                torch.from_numpy(np.stack([clip.segment.actions for clip in clips])).to(device),
            )  # [E, M]

        def score(pairs: Array) -> Array:
            return disagreement(returns[:, torch.from_numpy(pairs)]).cpu().numpy()

        return score

    def _query(self, left: Clip, right: Clip, value: float, is_gold: bool) -> Query:
        # The id follows from the pair: a query that is offered twice, after a lost reply, is one query.
        digest = hashlib.blake2b(f"{left.clip_id}:{right.clip_id}".encode(), digest_size=16).hexdigest()
        gold = ("left" if left.true_return > right.true_return else "right") if is_gold else ""
        return Query(digest, left.clip_id, right.clip_id, value, self._reader.version, asked_at_s=0.0, gold=gold)

    def state_dict(self) -> dict[str, Any]:
        return {"random": self._random.bit_generator.state, "agent_steps": self._agent_steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._random.bit_generator.state = state["random"]
        self._agent_steps = state["agent_steps"]
