"""Builds the components of a run from its config. What is built here runs anywhere: in the driver, or hosted by Ray."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import torch

from actors.clips import ClipCutter
from actors.frames import is_stack
from actors.policy import ActorCritic
from actors.rollout import RolloutWorker
from actors.tasks import Task
from cluster.config import ConfigError, RunConfig, label_schedule
from cluster.machine import num_cores
from cluster.services import Labeling, RewardService
from labeling.oracle import SyntheticLabeler
from labeling.pair_chooser import PairChooser
from labeling.people import SyntheticPool, parse_people
from labeling.practice import Practice
from labeling.query_actor import QueryActor
from labeling.queue import QueryQueue
from labeling.rerank import Reranker
from learners.a2c import A2C
from learners.algorithm import Algorithm
from learners.learner import Learner
from learners.ppo import PPO
from learners.relabel import Relabeler
from learners.trpo import TRPO
from reward_service.database import ComparisonDatabase, connect
from reward_service.ensemble import RewardEnsemble
from reward_service.snapshot import RewardSnapshot, SnapshotReader, SnapshotSource
from reward_service.trainer import RewardTrainer


@dataclass(frozen=True)
class RunSpec:
    """All that a component needs to be built in another process: plain data."""

    config: RunConfig
    task: Task
    redis_url: str
    run_id: str
    reward_redis_url: str = ""  # the reward service's own, where it has one


def build_database(spec: RunSpec) -> ComparisonDatabase:
    budget = spec.config.loop.clip_budget_mib * 1024 * 1024
    return ComparisonDatabase(connect(spec.redis_url), spec.run_id, budget)


def build_worker(spec: RunSpec, worker: int, generation: int = 0) -> RolloutWorker:
    """Rollout worker number `worker`; `generation` counts its replacements, each with a seed of its own."""
    config = spec.config
    steps = rollout_steps(config, spec.task, num_workers(config))
    rollout = dataclasses.replace(config.rollout, steps=steps, device=acting_device(config).type)
    return RolloutWorker(spec.task, config.policy, rollout, worker, worker_seed(config.seed, worker, generation))


def worker_seed(seed: int, worker: int, generation: int) -> int:
    return (seed * 1_000 + worker) * 1_000 + generation


def build_reward_service(spec: RunSpec) -> RewardService:
    """Goes on from the newest snapshot where there is one: a service that died does not begin anew."""
    config, task = spec.config, spec.task
    database = build_database(dataclasses.replace(spec, redis_url=spec.reward_redis_url or spec.redis_url))
    reward = dataclasses.replace(config.reward, seed=config.reward.seed + config.seed)
    trainer = RewardTrainer(
        reward, database, task.observation_shape, task.action, task.preset.clip_steps, pick_device(config)
    )
    newest = database.snapshots.get()
    if newest is not None:
        trainer.adopt(RewardSnapshot.from_bytes(newest[1]))
    return RewardService(config, trainer, task.action)


def build_labeling(spec: RunSpec) -> Labeling:
    config, task = spec.config, spec.task
    database = build_database(spec)
    query, overlap = config.query, config.labeling.overlap
    is_oracle = config.labeler == "synthetic" and not config.oracle.people
    if is_oracle:  # nobody else to compare it with
        query, overlap = dataclasses.replace(query, gold_fraction=0.0), 1
    queue = QueryQueue(database.client, spec.run_id)
    schedule = label_schedule(config, overlap)
    reader = build_reader(spec, database.snapshots, scoring_device(spec))
    reranker = practice = None
    if config.labeler == "human":
        practice = Practice(database.client, spec.run_id)
        if query.selection == "disagreement":
            reranker = Reranker(queue, database, query.candidates)
    cutter, chooser = ClipCutter(task.preset.clip_steps, task.action), PairChooser(query, reader, config.seed)
    query_actor = QueryActor(query, cutter, schedule, database, chooser, reranker, practice)
    if config.labeler == "human":
        return Labeling(config, query_actor, None, overlap)
    if is_oracle:
        return Labeling(config, query_actor, SyntheticLabeler(config.oracle, queue, database, config.seed), overlap)
    people = parse_people(config.oracle.people)
    pool = SyntheticPool(people, queue, database, config.seed, config.oracle.tie_threshold)
    return Labeling(config, query_actor, pool, overlap)


def build_reader(spec: RunSpec, snapshots: SnapshotSource, device: torch.device) -> SnapshotReader:
    reward = spec.config.reward
    ensemble = RewardEnsemble(
        reward.networks, spec.task.observation_shape, spec.task.action, reward_std=reward.reward_std
    )
    return SnapshotReader(snapshots, ensemble.to(device).eval())


def build_relabeler(spec: RunSpec, database: ComparisonDatabase) -> Relabeler:
    return Relabeler(build_reader(spec, database.snapshots, pick_device(spec.config)), spec.task.action)


def build_learner(spec: RunSpec) -> Learner:
    config, task = spec.config, spec.task
    torch.manual_seed(config.seed)
    device = pick_device(config)
    if device.type == "cuda" and is_stack(task.observation_shape):
        # As convolutions may: the layer behind them would take as long as they do.
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32
    policy = ActorCritic(config.policy, task.observation_shape, task.action).to(device)
    algorithm: Algorithm
    if config.algorithm == "trpo":
        algorithm = TRPO(config.trpo, policy, config.seed)
    elif config.algorithm == "a2c":
        algorithm = A2C(config.a2c, policy, config.seed)
    else:
        algorithm = PPO(config.ppo, policy, config.seed)
    return Learner(config.learner, policy, algorithm)


def num_workers(config: RunConfig) -> int:
    """Rollout workers of this run: as configured, else one for every core of this machine but the learner's. Where
    they come and go nobody knows before: 1 then, as in one process."""
    if config.workers:
        return config.workers
    return 1 if config.in_process or config.is_elastic else max(1, num_cores() - 1)


def ray_cores(config: RunConfig) -> int:
    """Cores that a Ray of this machine is told of. Each rollout worker claims one: more workers than there are take
    turns, where the last would wait for ever."""
    return max(num_cores(), config.workers)


def rollout_steps(config: RunConfig, task: Task, workers: int) -> int:
    """T of one worker's rollout: an update keeps its size as workers are added, down to room for one clip. Rollouts
    that are to be shorter than a clip (A2C's n steps) stay as they are to be."""
    if config.rollout.steps < task.preset.clip_steps:
        return config.rollout.steps
    share = math.ceil(config.rollout.steps / workers)
    return max(share, task.preset.clip_steps) if config.uses_labels else share


def rollouts_in_a_clip(spec: RunSpec) -> int:
    """Consecutive rollouts of one worker that hold a clip, however many workers: whoever cuts clips must be shown so
    many together."""
    return math.ceil(spec.task.preset.clip_steps / rollout_steps(spec.config, spec.task, 1))


def pick_device(config: RunConfig) -> torch.device:
    """Of learner and reward service. Raises ConfigError where the device that was asked for is not there."""
    return _device(config.loop.device, "loop.device")


def scoring_device(spec: RunSpec) -> torch.device:
    """Of whoever chooses what to ask. A GPU is for pictures: anything else is too little to be brought there. With Ray
    it has a part of one where the driver's node has any; in one process it has the learner's. Raises ConfigError."""
    if not is_stack(spec.task.observation_shape):
        return torch.device("cpu")
    if spec.config.in_process:
        return pick_device(spec.config)
    return torch.device("cuda" if torch.cuda.is_available() and spec.config.loop.device != "cpu" else "cpu")


def acting_device(config: RunConfig) -> torch.device:
    """Of the policy that acts. Raises ConfigError, too."""
    return _device(config.rollout.device, "rollout.device")


def _device(asked: str, setting: str) -> torch.device:
    if asked == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            f"{setting}=cuda, but PyTorch finds no CUDA device here (`twoclips doctor` says why); leave it out, or "
            f"use --set {setting}=cpu"
        )
    if asked == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(asked)
