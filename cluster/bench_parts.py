"""What benches of flat and of pictured tasks have in common: a Stage, and the parts of a run that are timed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
import torch

from actors.policy import ActorCritic
from actors.tasks import Task
from actors.trajectory import Clip, Hidden, Rollout
from cluster.bench_limits import seconds
from cluster.components import RunSpec, build_worker
from cluster.config import RunConfig
from labeling.selection import candidate_pairs
from learners.learner import Learner
from reward_service.comparisons import Answer, Comparison, Label
from reward_service.dataset import ComparisonDataset, DatasetSpec
from reward_service.ensemble import RewardEnsemble
from reward_service.fitting import EnsembleFit


@dataclass(frozen=True)
class Stage:
    """One measurement; `limit` in the same unit, `share` of it that is reached (1 is perfect)."""

    name: str
    value: float
    unit: str
    limit: float | None = None
    share: float | None = None
    limited_by: str = ""


def spec_of(config: RunConfig, task: Task) -> RunSpec:
    return RunSpec(config, task, redis_url="", run_id="bench")


def some_rollouts(config: RunConfig, task: Task, count: int) -> list[tuple[Rollout, Hidden]]:
    """Of one worker, by the untrained policy."""
    worker = build_worker(spec_of(config, task), 0)
    weights = ActorCritic(config.policy, task.observation_shape, task.action).export(0)
    try:
        return [worker.step(weights) for _ in range(count)]
    finally:
        worker.close()


def timed_update(learner: Learner, rollouts: Sequence[Rollout], rounds: int) -> tuple[float, float]:
    """Seconds that one policy update takes, and its passes over the rollouts."""
    rewards = [torch.randn(rollout.log_probs.shape) for rollout in rollouts]
    metrics = learner.step(rollouts, rewards, 0.0)
    taken_s = median(seconds(lambda: learner.step(rollouts, rewards, 0.0)) for _ in range(rounds))
    return taken_s, float(metrics.get("epochs", 1.0))


def some_comparisons(
    config: RunConfig, task: Task, ensemble: RewardEnsemble, clips: list[Clip], count: int
) -> ComparisonDataset:
    """Pairs of the clips, the better one by true return preferred."""
    spec = DatasetSpec(
        config.reward.members, 0, task.preset.clip_steps, task.observation_shape, task.action, pool=ensemble.pool
    )
    data = ComparisonDataset(spec)
    for index, (left, right) in enumerate(candidate_pairs(np.random.default_rng(1), len(clips), count)):
        one, other = clips[left], clips[right]
        answer = Answer.LEFT if one.true_return > other.true_return else Answer.RIGHT
        label = Label("", f"l{index}", f"q{index}", "bench", answer, "", 0.0)
        ids = one.clip_id, other.clip_id
        data.add(Comparison(label, one.segment, other.segment, one.true_return, other.true_return, ids))
    return data


def timed_gradient_step_ms(fit: EnsembleFit, dataset: ComparisonDataset, steps: int, rounds: int) -> float:
    """Of the reward model; each round is so many."""

    def train() -> None:
        for _ in range(steps):
            fit.gradient_step(dataset)

    return 1e3 * median(seconds(train) for _ in range(rounds)) / steps
