"""bench of a game that is seen in pictures, with the paper's networks: the policy's torso is that of Mnih et al. 2015,
the reward model's the paper's own. On a GPU everything but acting is there.

A network's work is counted on one forward pass of it: the multiplications and additions of its matrix products and
convolutions, and the bytes that these read and write. What stands between them could be done in passing. A backward
pass has twice as much: the gradient of the inputs, and that of the weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from actors.atari import AtariSimulator, rom_path
from actors.clips import cut_clips
from actors.networks import stacked_tensor
from actors.policy import ActorCritic
from actors.rollout import KEYFRAME_STEPS
from actors.tasks import Task
from actors.trajectory import Rollout
from cluster.bench_limits import copy_rate, matrix_product_rate, processor_seconds, seconds
from cluster.bench_parts import (
    Stage,
    some_comparisons,
    some_rollouts,
    spec_of,
    timed_gradient_step_ms,
    timed_update,
)
from cluster.components import build_learner, build_worker, num_workers, pick_device, rollout_steps
from cluster.config import RunConfig
from learners.relabel import Relabeler
from reward_service.ensemble import RewardEnsemble
from reward_service.fitting import EnsembleFit
from reward_service.snapshot import NothingPublished, SnapshotReader

ROUNDS = 3
COMPARISONS = 64
KEPT_ROUNDS = 100
GRADIENT_STEPS = {"cpu": 1, "cuda": 20}
"""In one round: a device should not wait for us."""

_STEPS, _WORKERS = 32, 64  # T of each worker's rollout, and how many of those an update of a GPU is given
_PAPER = {"policy.torso": "mnih-2015", "reward.torso": "paper", "reward.dropout": 0.5, "rollout.steps": _STEPS}
PICTURED: dict[str, dict[str, Any]] = {
    "cpu": _PAPER,
    "cuda": _PAPER | {"workers": _WORKERS, "rollout.steps": _STEPS * _WORKERS, "ppo.minibatch": 4096},
}
"""Settings by device: a GPU is filled by as many rollouts at once as it gets from a large run."""


@dataclass(frozen=True)
class Work:
    """What one sample costs; as `ceilings`, what the device can do in a second."""

    flops: float
    bytes: float

    def times(self, factor: float) -> Work:
        return Work(self.flops * factor, self.bytes * factor)

    def limit(self, ceilings: Work) -> tuple[float, str]:
        """Samples per second at most, and by what."""
        rates = (ceilings.flops / self.flops, "its arithmetic"), (ceilings.bytes / self.bytes, "its memory traffic")
        return min(rates)


class _Counter(TorchDispatchMode):
    """Counts the work of all matrix products and convolutions under it."""

    def __init__(self) -> None:
        super().__init__()
        self.flops = self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if count := flop_registry.get(func.overloadpacket):
            self.flops += count(*args, **(kwargs or {}), out_val=out)
            self.bytes += sum(each.nbytes for each in (*args, out) if isinstance(each, Tensor))
        return out


@torch.no_grad()
def work_of(network: Callable[[Tensor], object], stacks: Tensor) -> Work:
    """Of a forward pass, for each of the stacks [N, K, H, W]."""
    with _Counter() as counter:
        network(stacks)
    return Work(counter.flops, counter.bytes).times(1 / len(stacks))


def picture_stages(config: RunConfig, task: Task) -> Iterator[list[Stage]]:
    """After acting: the moments kept, the ceilings, learning, reward prediction, relabelling and reward training."""
    device = pick_device(config)
    if task.atari_rom is not None:
        yield [keeping(config, task)]
    ceilings = Work(matrix_product_rate(device, like_convolutions=True), copy_rate(device))
    yield [
        Stage("matrix_product", ceilings.flops / 1e9, "GFLOP/s"),
        Stage("memory_copy", ceilings.bytes / 1e9, "GB/s read and written"),
    ]
    blocks = some_rollouts(config, task, 2)
    workers = num_workers(config)
    rollouts = ([rollout for rollout, _ in blocks] * workers)[:workers]
    stacks = torch.tensor(rollouts[0].stacks[:-1], device=device).flatten(0, 1)
    learners = ceilings
    if config.learner.precision == "bfloat16":
        learners = replace(ceilings, flops=matrix_product_rate(device, dtype=torch.bfloat16))
        yield [Stage("matrix_product_bfloat16", learners.flops / 1e9, "GFLOP/s")]
    yield learning(config, task, rollouts, stacks, learners)
    reward = config.reward
    ensemble = RewardEnsemble(reward.networks, task.observation_shape, task.action).to(device)
    work = work_of(lambda seen: ensemble.score(ensemble.features(seen, torch.empty(0))), stacks)
    yield [predicting(ensemble, rollouts, work, ceilings), relabelling(ensemble, task, rollouts[0], work, ceilings)]
    clips = [clip for block in blocks for clip in cut_clips(*block, task.preset.clip_steps, task.action)]
    dataset = some_comparisons(config, task, ensemble, clips, COMPARISONS)
    fit = EnsembleFit(reward, ensemble, torch.Generator().manual_seed(0))
    fit.gradient_step(dataset)  # also measures validation, as every tenth does
    taken_ms = timed_gradient_step_ms(fit, dataset, GRADIENT_STEPS[device.type], ROUNDS)
    limit, limited_by = work.times(3 * reward.batch_pairs * 2 * task.preset.clip_steps).limit(ceilings)
    unit = f"ms per gradient step of {reward.batch_pairs} pairs"
    yield [Stage("reward_training", taken_ms, unit, 1e3 / limit, 1e3 / limit / taken_ms, limited_by)]


def keeping(config: RunConfig, task: Task) -> Stage:
    """What the moments cost from which clips are replayed for people, and how much of a rollout's time that is: a short
    rollout keeps more of them. In processor time, of steps that keep one and steps that do not, in turns: on a busy
    machine the difference is small beside what others' work does to the clock."""
    assert task.atari_rom is not None
    steps, envs = rollout_steps(config, task, num_workers(config)), config.rollout.num_envs
    simulator = AtariSimulator(rom_path(task.atari_rom), (), 0.0, envs, seed=0)
    simulator.reset(np.arange(envs))
    actions = np.zeros(envs, np.int64)

    def step() -> None:
        simulator.step(actions)
        simulator.kept()

    def kept_step() -> None:
        simulator.mark()
        step()

    kept_s = sum(processor_seconds(kept_step) - processor_seconds(step) for _ in range(KEPT_ROUNDS)) / KEPT_ROUNDS
    worker = build_worker(spec_of(config, task), 0)
    weights = ActorCritic(config.policy, task.observation_shape, task.action).export(0)
    worker.step(weights)
    rollouts = math.ceil(KEPT_ROUNDS / steps)
    rollout_s = processor_seconds(lambda: [worker.step(weights) for _ in range(rollouts)]) / rollouts
    worker.close()
    moments = math.ceil(steps / KEYFRAME_STEPS)
    unit = f"us per moment kept, {moments} in {steps} steps: {moments * kept_s / rollout_s:.2%} of a rollout's time"
    return Stage("keyframes", 1e6 * kept_s / envs, unit)


def learning(config: RunConfig, task: Task, rollouts: list[Rollout], stacks: Tensor, ceilings: Work) -> list[Stage]:
    """One policy update, from rollouts in the machine's memory to the next version; and what its passes move."""
    learner = build_learner(spec_of(config, task))
    policy = learner.policy
    work = work_of(lambda seen: policy.head_and_values(policy.normalise(seen)), stacks).times(3)
    taken_s, passes = timed_update(learner, rollouts, ROUNDS)
    steps = sum(rollout.num_steps for rollout in rollouts)
    rate = steps * passes / taken_s
    limit = ceilings.flops / work.flops
    unit = f"samples and passes per second, {work.flops / 1e6:.0f} MFLOP each"
    return [
        Stage("learner_update", 1e6 * taken_s / steps, f"us per step, {passes:.0f} passes over {steps:,} steps"),
        Stage("learner_passes", rate, unit, limit, rate / limit, "its arithmetic"),
        Stage(
            "learner_traffic",
            rate * work.bytes / 1e9,
            f"GB/s, at least, {work.bytes / 1e6:.2f} MB a sample",
            ceilings.bytes / 1e9,
            rate * work.bytes / ceilings.bytes,
            "a copy in memory",
        ),
    ]


def predicting(ensemble: RewardEnsemble, rollouts: list[Rollout], work: Work, ceilings: Work) -> Stage:
    """Of rollouts that are on the device already."""
    device = ensemble.observation_mean.device
    kept = torch.from_numpy(np.concatenate([rollout.observations[:-1] for rollout in rollouts], 1)).to(device)
    actions = torch.from_numpy(np.concatenate([rollout.actions for rollout in rollouts], 1)).to(device)
    observations = stacked_tensor(kept, rollouts[0].depth, dim=0)

    @torch.inference_mode()
    def predict() -> None:
        ensemble(observations, actions).cpu()

    predict()
    rate = actions.numel() / median(seconds(predict) for _ in range(ROUNDS))
    limit, limited_by = work.limit(ceilings)
    unit = f"frames/s by {ensemble.config.members} members, {work.flops / 1e6:.0f} MFLOP each"
    return Stage("reward_prediction", rate, unit, limit, rate / limit, limited_by)


def relabelling(ensemble: RewardEnsemble, task: Task, rollout: Rollout, work: Work, ceilings: Work) -> Stage:
    """Of one worker's rollout, which is brought to the device for it."""
    relabeler = Relabeler(SnapshotReader(NothingPublished(), ensemble), task.action)

    def relabel() -> None:
        relabeler.relabel(rollout)[0].cpu()

    relabel()
    rate = rollout.num_steps / median(seconds(relabel) for _ in range(5 * ROUNDS))
    limit, limited_by = work.limit(ceilings)
    unit = f"steps/s, rollouts of {rollout.num_steps} brought there"
    return Stage("relabelling", rate, unit, limit, rate / limit, limited_by)
