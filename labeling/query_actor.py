"""QueryActor: offers the pairs that the reward model would learn most from, as many as the schedule wants by now.

    actor.observe(rollout, hidden, agent_steps)   # recent behaviour comes in
    actor.step()                                  # queries go out

It cannot proceed while it has fewer than two clips or enough queries are waiting; then `step` offers nothing and says
so in its metrics. It never waits for a labeler. What waits for people is ranked anew as the reward model changes.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Any

from actors.clips import ClipCutter
from actors.limits import within
from actors.trajectory import Clip, Hidden, Rollout
from labeling.pair_chooser import ChoiceConfig, PairChooser
from labeling.practice import Practice
from labeling.rerank import Reranker
from labeling.schedule import LabelSchedule
from reward_service.comparisons import Offered, Query, query_id_of
from reward_service.database import ComparisonDatabase


@dataclass(frozen=True)
class QueryConfig(ChoiceConfig):
    """recent_clips      clips of the current policy from which pairs are drawn
    max_open          queries that may wait for labelers at once, so that nobody is shown old behaviour
    initial_fraction  share of all labels that is wanted before the policy first moves
    offline           all labels are wanted then, and none later (an ablation of the paper)
    """

    recent_clips: int = 512
    max_open: int = 1000
    initial_fraction: float = 0.25
    offline: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        within(self, recent_clips="[2, inf)", max_open="[1, inf)", initial_fraction="[0, 1]")


class QueryActor:
    """Turns recent rollouts into queries. A `reranker` goes over what waits whenever the reward model is newer, where
    queries wait at all: people are slow, a synthetic labeler is not. With `practice` the run keeps some clips for
    people to practise on, about which nobody is asked."""

    def __init__(
        self,
        config: QueryConfig,
        cutter: ClipCutter,
        schedule: LabelSchedule,
        database: ComparisonDatabase,
        chooser: PairChooser,
        reranker: Reranker | None = None,
        practice: Practice | None = None,
    ) -> None:
        self._config, self._cutter, self._schedule, self._chooser = config, cutter, schedule, chooser
        self._database, self._reranker, self._practice = database, reranker, practice
        self._kept_for_practice: frozenset[str] = frozenset()
        self._clips: deque[Clip] = deque(maxlen=config.recent_clips)
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
        self._chooser.refresh()
        if self._chooser.version:
            self._reranker.step(self._chooser.version, self._clips, self._chooser.scorer)
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
        self._chooser.refresh()
        chosen = self._chooser.choose(self._clips, wanted)
        self._database.clips.put({clip.clip_id: clip for pair in chosen.pairs for clip in pair}.values())
        queries = [
            self._query(left, right, float(value), bool(is_gold))
            for (left, right), value, is_gold in zip(chosen.pairs, chosen.disagreement, chosen.is_gold, strict=True)
        ]
        self._disagreement = {"asked": float(chosen.disagreement.mean()), "unasked": chosen.unasked_disagreement}
        offered = self._database.offer(queries, chosen.priority.tolist(), self._schedule.overlap)
        return offered.count(Offered.QUEUED)

    def _query(self, left: Clip, right: Clip, value: float, is_gold: bool) -> Query:
        gold = ("left" if left.true_return > right.true_return else "right") if is_gold else ""
        ids = left.clip_id, right.clip_id
        return Query(query_id_of(*ids), *ids, value, self._chooser.version, asked_at_s=0.0, gold=gold)

    def state_dict(self) -> dict[str, Any]:
        return {**self._chooser.state_dict(), "agent_steps": self._agent_steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._chooser.load_state_dict(state)
        self._agent_steps = state["agent_steps"]
