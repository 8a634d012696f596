"""bench: how fast every stage is on this machine, each beside the limit that the machine itself sets, measured in the
same run. One torch thread. What is compared takes turns in short rounds, and medians are given: other load on the
machine then falls on both.

Limits: acting is bounded by the bare simulator on the same thread; learning, reward training, prediction and scoring by
the arithmetic that they cannot do without, at the rate of one large matrix product; writes by bare SETs to the disk;
answers over HTTP by requests that the same server turns away at its door. Of a game seen in pictures what is done with
pictures is measured (`cluster.bench_pictures`): writes and answers are those of any task.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping
from statistics import median
from typing import Any

import numpy as np
import torch

from actors.clips import cut_clips
from actors.frames import is_stack
from actors.policy import ActorCritic
from actors.tasks import Task
from actors.trajectory import Hidden, Rollout
from cluster.bench_answers import PEOPLE, Answered, measure_answers
from cluster.bench_limits import bare_atari, bare_gymnasium, bare_mujoco, matrix_product_rate, seconds
from cluster.bench_parts import (
    Stage,
    some_comparisons,
    some_rollouts,
    spec_of,
    timed_gradient_step_ms,
    timed_update,
)
from cluster.bench_pictures import PICTURED, picture_stages
from cluster.bench_writes import CLIENTS, measure_writes
from cluster.components import build_learner, build_worker, num_workers, rollout_steps
from cluster.config import ConfigError, RunConfig
from cluster.configure import make_config
from cluster.freed_memory import keep_freed_memory
from labeling.selection import candidate_pairs
from reward_service.ensemble import RewardEnsemble, disagreement
from reward_service.fitting import EnsembleFit

Say = Callable[[str], None]

ROUNDS = 15
PAIRS = 10_000
LABELS = 700
GRADIENT_STEPS = 20


def bench(task: Task, device: str, say: Say, settings: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What `bench --json` prints: task, device, and the stages by name. `settings` of a run, by dotted name. Raises
    ConfigError for a device not here."""
    if device not in ("cpu", "cuda") or (device == "cuda" and not torch.cuda.is_available()):
        raise ConfigError(f"there is no device {device!r} here; use --device cpu")
    torch.set_num_threads(1)
    keep_freed_memory()  # as runs do; learning is measured on one thread all the same
    begin = time.monotonic()
    pictured = is_stack(task.observation_shape)
    own = PICTURED[device] if pictured else {}
    config = make_config(task, {"loop.device": device, "in_process": True, "workers": 1, **own, **(settings or {})})
    stages: list[Stage] = []

    def add(measured: list[Stage]) -> None:
        stages.extend(measured)
        for stage in measured:
            say(f"measured {stage.name}, {time.monotonic() - begin:.0f} s")

    add(acting(config, task))
    for measured in picture_stages(config, task) if pictured else _flat_stages(config, task):
        add(measured)
    return {
        "task": task.name,
        "device": device,
        "torch_threads": torch.get_num_threads(),
        "wall_s": time.monotonic() - begin,
        "stages": {stage.name: {k: v for k, v in dataclasses.asdict(stage).items() if k != "name"} for stage in stages},
    }


def _flat_stages(config: RunConfig, task: Task) -> Iterator[list[Stage]]:
    clips_each = config.rollout.num_envs * max(1, config.rollout.steps // task.preset.clip_steps)
    blocks = some_rollouts(config, task, -(-config.query.recent_clips // clips_each) + 1)
    device = torch.device(config.loop.device)
    peak = matrix_product_rate(device)
    yield learning(config, task, [rollout for rollout, _ in blocks][:1], peak)
    yield rewarding(config, task, blocks, device, peak)
    answers, bare = measure_writes()
    unit = f"per second, {CLIENTS} clients"
    yield [Stage("comparison_writes", answers, unit, bare, answers / bare, "bare SETs, fsync always")]
    yield answering(measure_answers())


def answering(found: Answered) -> list[Stage]:
    """The labeling server with 50 people: as fast as they can, and at the pace of people."""
    per_second, limit = found.per_second, found.turned_away
    return [
        Stage("answers_over_http", per_second, f"per second, {PEOPLE} people", limit, per_second / limit, "bare HTTP"),
        Stage("answer_processor_time", found.server_us, f"us in the server, {found.generator_us:.0f} in the people"),
        Stage("answer_acknowledged", found.paced_ms, f"ms, p95 of {found.paced} at the pace of people"),
        Stage("answer_acknowledged_rushed", found.rushed_ms, "ms, p95 as fast as they can"),
    ]


def table_rows(found: dict[str, Any]) -> list[tuple[str, str]]:
    """The same for people: name and value of each stage."""
    return [
        (name, f"{_figure(stage['value'])} {stage['unit']}{_of_limit(stage)}")
        for name, stage in found["stages"].items()
    ]


def _of_limit(stage: dict[str, Any]) -> str:
    if stage["share"] is None:
        return ""
    return f", {stage['share']:.0%} of what {stage['limited_by']} would allow ({_figure(stage['limit'])})"


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def acting(config: RunConfig, task: Task) -> list[Stage]:
    """The bare simulator on one core and the rollout worker on `rollout.cores` of them, in turns."""
    steps = rollout_steps(config, task, num_workers(config))
    config = dataclasses.replace(config, workers=1, rollout=dataclasses.replace(config.rollout, steps=steps))
    worker = build_worker(spec_of(config, task), 0)
    weights = ActorCritic(config.policy, task.observation_shape, task.action).export(0)
    bare = (bare_mujoco if task.mujoco_model else bare_atari if task.atari_rom else bare_gymnasium)(config, task)
    steps *= config.rollout.num_envs
    worker.step(weights)
    bare()
    rounds = [(steps / seconds(bare), steps / seconds(lambda: worker.step(weights))) for _ in range(ROUNDS)]
    worker.close()
    cores = config.rollout.cores
    limit = median(rate for rate, _ in rounds)
    rate = median(rate for _, rate in rounds)
    share = median(rate / bare_rate for bare_rate, rate in rounds) / cores  # of neighbours: other load is on both
    unit = "steps/s, 1 thread" if cores == 1 else f"steps/s, worlds on {cores} cores"
    return [
        Stage("simulator", limit, "steps/s, 1 thread"),
        Stage("rollout_worker", rate, unit, limit * cores, share, "the bare simulator"),
    ]


def learning(config: RunConfig, task: Task, rollouts: list[Rollout], peak: float) -> list[Stage]:
    """One policy update with the algorithm and the settings of the task."""
    learner = build_learner(spec_of(config, task))
    taken_s, passes = timed_update(learner, rollouts, ROUNDS)
    steps = sum(rollout.num_steps for rollout in rollouts)
    weights = sum(p.numel() for p in learner.policy.parameters() if p.dim() > 1)
    # Forward, gradient of the inputs, gradient of the weights: a multiplication and an addition per weight each.
    limit_us = 1e6 * passes * 6 * weights / peak
    value_us = 1e6 * taken_s / steps
    return [
        Stage("learner_update", value_us, "us per step", limit_us, limit_us / value_us, "its arithmetic"),
        Stage("learner_passes", steps * passes / taken_s, "samples and passes per second"),
    ]


def rewarding(
    config: RunConfig, task: Task, blocks: list[tuple[Rollout, Hidden]], device: torch.device, peak: float
) -> list[Stage]:
    """Prediction for a rollout, a gradient step on 700 comparisons, and the scoring of 10,000 candidate pairs."""
    reward, clip_steps = config.reward, task.preset.clip_steps
    ensemble = RewardEnsemble(reward.networks, task.observation_shape, task.action).to(device)
    weights = sum(weight.numel() for weight in ensemble.weights)
    rollout = blocks[0][0]
    observations = torch.from_numpy(rollout.observations[:-1].copy()).to(device)
    actions = torch.from_numpy(task.action.executed(rollout.actions).copy()).to(device)
    clips = [clip for block in blocks for clip in cut_clips(*block, clip_steps, task.action)]
    clips = clips[: config.query.recent_clips]

    @torch.inference_mode()
    def predict() -> None:
        ensemble(observations, actions).cpu()

    predicted = rollout.num_steps / median(seconds(predict) for _ in range(5 * ROUNDS))
    dataset = some_comparisons(config, task, ensemble, clips, LABELS)
    fit = EnsembleFit(reward, ensemble, torch.Generator().manual_seed(0))
    trained_ms = timed_gradient_step_ms(fit, dataset, GRADIENT_STEPS, ROUNDS)
    trained_limit_ms = 1e3 * 6 * weights * reward.batch_pairs * 2 * clip_steps / peak
    pairs = candidate_pairs(np.random.default_rng(0), len(clips), PAIRS)

    @torch.inference_mode()
    def score() -> None:
        seen = torch.from_numpy(np.stack([clip.segment.observations for clip in clips])).to(device)
        done = torch.from_numpy(np.stack([clip.segment.actions for clip in clips])).to(device)
        returns = ensemble.clip_returns(seen, done)
        disagreement(returns[:, torch.from_numpy(pairs)]).cpu()

    score()
    scored_ms = 1e3 * median(seconds(score) for _ in range(ROUNDS)) * PAIRS / len(pairs)
    scored_limit_ms = 1e3 * 2 * weights * len(clips) * clip_steps / peak
    scored_unit = f"ms per {PAIRS:,} pairs of {len(clips)} clips"
    limits = (peak / (2 * weights), trained_limit_ms, scored_limit_ms)
    shares = (predicted / limits[0], limits[1] / trained_ms, limits[2] / scored_ms)
    return [
        Stage("reward_prediction", predicted, "steps/s", limits[0], shares[0], "its arithmetic"),
        Stage("reward_training", trained_ms, "ms per gradient step", limits[1], shares[1], "its arithmetic"),
        Stage("candidate_scoring", scored_ms, scored_unit, limits[2], shares[2], "its arithmetic"),
    ]
