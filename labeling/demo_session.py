"""Session: the whole loop in the small world, one agent step at a time, on the real database and queue.

    session = Session(DemoConfig(preset="oracle", seed=1), database)
    while session.step(): ...              # False: a person is asked, and the agent waits for the answer

A step moves the agent. Every few steps, while queries are on, two of its recent paths are asked about; the answer comes
back through queue and log like any other, the ensemble does gradient steps, and the policy is planned anew. The same
config, and the same answers, give the same session: it looks at no clock.

The real query actor, trainer and snapshots need torch and rollouts; here stand the pieces of them that are maths.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import numpy as np

from actors.small_world import Grid
from actors.small_world_plan import optimal_actions, reward_match, share_optimal
from actors.trajectory import Clip
from labeling.demo_config import DemoConfig, DemoError
from labeling.demo_policy import Planner, Policy
from labeling.demo_record import Record
from labeling.demo_walk import Walk
from labeling.oracle import OracleConfig, SyntheticLabeler
from labeling.queue import QueryQueue
from labeling.selection import candidate_pairs, select_pairs
from reward_service.comparisons import Comparison, Query, Retraction, query_id_of
from reward_service.database import START, ComparisonDatabase
from reward_service.tabular import TabularConfig, TabularEnsemble, disagreement

Array = np.ndarray

ASK_EVERY_STEPS, SELDOM_EVERY_STEPS = 10, 50
EAGER_QUERIES = 300
"""Queries ASK_EVERY_STEPS apart, after which, since little is new by then, they are SELDOM_EVERY_STEPS apart."""
FIT_STEPS = 10
"""Gradient steps for each label."""
CANDIDATES = 20
OFFLINE_STEPS, OFFLINE_LABELS = 160, 300
_TIE = 1e-6  # sums of the same numbers in another order
_DRAWS = 4  # times as many candidates are drawn as are wanted: some were asked before


class Session:
    """One run of the demo; `change` changes who answers, and what is asked, in its midst. Not to be shared between
    threads; errors of the connection come through."""

    def __init__(
        self,
        config: DemoConfig,
        database: ComparisonDatabase,
        make_policy: Callable[[Grid, float, int], Policy] = Planner,
    ) -> None:
        self.config = config
        self._database, self._queue = database, QueryQueue(database.client, database.run_id)
        self._walk = Walk(config.size, config.goal)
        self.grid = self._walk.grid
        self.ensemble = TabularEnsemble(TabularConfig(config.members), self.grid.num_cells, config.seed)
        self.policy = make_policy(self.grid, config.exploration, config.seed)
        self._optimal = optimal_actions(self.grid)
        self._random = np.random.default_rng((config.seed, 2))
        self._oracle = SyntheticLabeler(self._oracle_config(), self._queue, database, config.seed)
        self._asked: set[frozenset[str]] = set()  # pairs of clip ids
        self._eager = EAGER_QUERIES
        self._cursor = START
        self._burst = 0
        self.labeler: Literal["oracle", "person"] = "person" if config.preset == "person" else "oracle"
        self.online = config.preset != "offline"
        self.record = Record()
        self.judged = np.zeros(self.grid.num_cells, np.int64)  # labels about paths that entered each cell
        self._entered: dict[str, Array] = {}  # by label: [C] bool, which cells its paths entered
        self._is_waiting = False
        self._measure()

    # ---- what may be changed while it goes on

    def change(self, labeler: str | None = None, online: bool | None = None, selection: str | None = None,
               error_rate: float | None = None) -> None:  # fmt: skip
        """Who answers, whether anybody is asked, which pairs, and how often the synthetic labeler errs."""
        if labeler is not None and labeler not in ("oracle", "person"):
            raise DemoError(f"the labeler is the oracle or a person, not {labeler!r}")
        selected = replace(
            self.config,
            selection=self.config.selection if selection is None else selection,  # type: ignore[arg-type]
            error_rate=self.config.error_rate if error_rate is None else error_rate,
        )
        if selected != self.config:
            self.config = selected
            self._oracle = SyntheticLabeler(self._oracle_config(), self._queue, self._database, self.config.seed)
            how = "by disagreement" if selected.selection == "disagreement" else "at random"
            self.record.tell(self.num_steps, f"Queries are chosen {how}; the oracle errs in {selected.error_rate:.0%}.")
        if labeler is not None and labeler != self.labeler:
            self.labeler = labeler  # type: ignore[assignment]
            who = "You answer from here on." if labeler == "person" else "The synthetic oracle answers from here on."
            self.record.tell(self.num_steps, who)
        if online is not None and online != self.online:
            self.online = online
            self._eager = EAGER_QUERIES
            said = "on: the newest paths are asked about" if online else "off: the reward map stands still"
            self.record.tell(self.num_steps, f"Online queries are {said}.")

    @property
    def is_waiting(self) -> bool:
        """Whether a person is asked, and has not answered."""
        return self._is_waiting

    @property
    def is_busy(self) -> bool:
        """Whether the offline preset still asks: what comes next is no agent step."""
        return self._burst > 0

    @property
    def right_arrows(self) -> Array:
        """[C] bool: whether what the policy thinks best in a cell is, by the hidden reward."""
        return self._optimal[np.arange(self.grid.num_cells), self.policy.arrows]

    @property
    def num_steps(self) -> int:
        """Agent steps so far."""
        return self._walk.num_steps

    @property
    def cell(self) -> int:
        """Where the agent is."""
        return self._walk.cell

    @property
    def trail(self) -> list[int]:
        """Where it has just been, oldest first, and is."""
        return list(self._walk.trail)

    # ---- the loop

    def step(self) -> bool:
        """One agent step, or one of the offline preset's queries; False where a person has yet to answer."""
        if self._is_waiting:
            self._take_answers()
            self._is_waiting = self.labeler == "person" and self.online and self._database.num_open_queries() > 0
            if self._is_waiting:
                return False
        if self._burst > 0:
            self._burst -= 1
            self._ask()
            if self._burst == 0:
                told = f"{len(self.ensemble)} labels about the first {self.num_steps} steps; nobody is asked any more."
                self.record.tell(self.num_steps, told)
            return True
        self._walk.step(self.policy, len(self.ensemble))
        if self.config.preset == "offline" and self.num_steps == OFFLINE_STEPS:
            self._burst = OFFLINE_LABELS
        elif self.num_steps % (ASK_EVERY_STEPS if self._eager > 0 or not self.online else SELDOM_EVERY_STEPS) == 0:
            if self.online:
                self._eager -= 1
                self._ask()
            else:
                self._measure()
        return True

    def _ask(self) -> None:
        """Offers the most telling of a few pairs; a person answers when they like, the oracle at once, and with it what
        a person before it left unanswered."""
        chosen = self._chosen_query()
        if chosen is None:
            self._measure()
            return
        query, left, right = chosen
        self._database.clips.put((left, right))
        self._database.offer([query])
        self.record.ask(left, right, query.disagreement)
        if self.labeler == "person":
            self._is_waiting = True
            return
        self._oracle.step()
        self._take_answers()

    def _chosen_query(self) -> tuple[Query, Clip, Clip] | None:
        """A pair that was never asked, of clips that show different cells; None where there is none now."""
        clips, visits = list(self._walk.clips), np.array(self._walk.visits)
        if len(clips) < 2:
            return None
        drawn = candidate_pairs(self._random, len(clips), CANDIDATES * _DRAWS)
        drawn = drawn[(visits[drawn[:, 0]] != visits[drawn[:, 1]]).any(axis=1)]
        unasked = [pair for pair in drawn.tolist() if _ids(clips, pair) not in self._asked][:CANDIDATES]
        if not unasked:
            return None
        score = (lambda pairs: disagreement(self.ensemble.differences(visits[pairs]))) if len(self.ensemble) else None
        chosen = select_pairs(np.array(unasked), score, 1, self.config.selection == "disagreement")
        pair: list[int] = chosen.pairs[0].tolist()
        self._asked.add(_ids(clips, pair))
        left, right = clips[pair[0]], clips[pair[1]]
        ids, value = (left.clip_id, right.clip_id), float(chosen.disagreement[0])
        return Query(query_id_of(*ids), *ids, value, len(self.ensemble), asked_at_s=0.0), left, right

    def _take_answers(self) -> None:
        """Reads what is new in the log and learns from it."""
        items, self._cursor = self._database.comparisons_since(self._cursor)
        for item in items:
            if isinstance(item, Retraction):
                self.ensemble.remove(item.label.retracts, FIT_STEPS)
                self.judged -= self._entered.pop(item.label.retracts, 0)  # who could not tell taught nothing
                self.record.tell(self.num_steps, "An answer was taken back: all is fitted anew without it.")
            elif isinstance(item, Comparison):
                self._learn(item)
        if items:
            self.policy.learn(self.ensemble.rewards)
            self._measure()

    def _learn(self, comparison: Comparison) -> None:
        answer = comparison.label.answer
        mu = None if answer is None else answer.target
        if mu is not None:
            visits = np.stack([side.observations.sum(axis=0) for side in (comparison.left, comparison.right)])
            self.ensemble.add(comparison.label.label_id, comparison.label.query_id, visits, mu[0])
            self.ensemble.fit(FIT_STEPS)
            entered = self._entered[comparison.label.label_id] = visits.max(axis=0) > 0
            self.judged += entered
        self.record.answered(self.num_steps, len(self.ensemble), comparison.label, comparison.clip_ids)

    def _measure(self) -> None:
        self.record.measure(
            step=self.num_steps,
            labels=len(self.ensemble),
            match=reward_match(self.ensemble.rewards, self.grid.hidden_rewards),
            optimal=share_optimal(self.policy.arrows, self._optimal),
            loss=self.ensemble.loss(),
        )

    def _oracle_config(self) -> OracleConfig:
        return OracleConfig(error_rate=self.config.error_rate, tie_threshold=_TIE)


def _ids(clips: list[Clip], pair: list[int]) -> frozenset[str]:
    return frozenset((clips[pair[0]].clip_id, clips[pair[1]].clip_id))
