"""Training: the loop of a run.

    training = Training(spec, folder, pool, RewardSource(spec, services, redis_care), progress)
    training.run()

Rollouts for update k+1 are collected while update k is computed: `submit` hands out the newest weights, the update
uses what was collected before, so the policy lag is at most 1 by construction.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import psutil

from actors.presets import Preset
from cluster.components import RunSpec, build_learner
from cluster.config import RunConfig
from cluster.device_memory import device_memory
from cluster.interfaces import Collected, RolloutPool
from cluster.interrupts import undisturbed
from cluster.metrics import EpisodeLog, SegmentLog
from cluster.reward_source import RewardSource
from cluster.run_folder import RunFolder, as_json
from learners.checkpoint import CheckpointError, save_checkpoint

ROWS = 10_000
"""So many metrics.jsonl has at most, about: it is read whole, and a run may have a million updates."""

_FOREIGN = "put the run's own checkpoints back into its folder, or start a new run"


def steps_between_checkpoints(config: RunConfig, preset: Preset, workers: int) -> int:
    """Agent steps. Episodes start anew at a checkpoint, so that between two there must be time for whole ones, however
    many workers there are."""
    whole_episodes = 2 * (preset.usual_steps or preset.horizon) * config.rollout.num_envs * max(1, workers)
    return config.loop.checkpoint_steps or max(config.steps // 10, whole_episodes)


class Training:
    """Composes pool, reward and learner into one run."""

    def __init__(
        self,
        spec: RunSpec,
        folder: RunFolder,
        pool: RolloutPool,
        source: RewardSource,
        show: Callable[[dict[str, Any]], None],
        saved: Callable[[], None] = lambda: None,
    ) -> None:
        """`saved` is called after every checkpoint."""
        self._spec, self._folder, self._pool, self._source = spec, folder, pool, source
        self._show, self._saved = show, saved
        self._learner = build_learner(spec)
        self._episodes, self._segments = EpisodeLog(spec.task.horizon), SegmentLog(spec.task.preset.clip_steps)
        self.agent_steps = 0
        self._environment_steps = 0
        self._generation = self._cut_at = self._written_at = 0
        self._unwritten_s: dict[str, float] = {}
        self._lag_max = 0.0
        self._started_s = self._spent_s = 0.0
        self._checkpoint_due = 0
        self.last: dict[str, Any] = {}

    def run(self) -> None:
        """From the start, or from where a checkpoint left it, to the last step."""
        self._started_s = time.monotonic()
        if self.agent_steps == 0:
            self._warm_up()
        self._submit()
        self._checkpoint_due = self._next_checkpoint()  # now that workers are there
        while self.agent_steps < self._spec.config.steps:
            self._update()
            self._show(self.last)
            if self._due_for_checkpoint():
                self.checkpoint()
                self._submit()
        self.checkpoint()

    def _submit(self) -> None:
        self._pool.submit(self._learner.weights())

    def _update(self) -> None:
        """One policy version further; the rollouts of the next are collected meanwhile. A signal is heard once the
        update is counted, too: else a checkpoint would hold a policy that is further than its steps."""
        begin = time.monotonic()
        collected = self._pool.gather()
        self._submit()
        gathered = time.monotonic()
        self._source.observe(collected, self.agent_steps + sum(r.num_steps for r, _ in collected))
        self._source.advance()
        rewards, raw = self._source.rewards(collected)
        relabelled = time.monotonic()
        rollouts = [rollout for rollout, _ in collected]
        progress = min(1.0, self.agent_steps / self._spec.config.steps)
        with undisturbed():
            with device_memory("the policy update", self._spec.config):
                learned = self._learner.step(rollouts, rewards, progress)
            done = time.monotonic()
            predicted = [block.cpu().numpy() for block in raw]  # the device is done with them by now
            self._count(collected, predicted)
            self._lag_max = max(self._lag_max, learned["policy_lag"])
            wall_s = self._wall_s()
            times = {
                "gather_wait_s": gathered - begin,
                "relabel_s": relabelled - gathered,
                "learn_s": done - relabelled,
            }
            self.last = {
                "agent_steps": self.agent_steps,
                "environment_steps": self._environment_steps,
                **self._returns(),
                **learned,
                "policy_lag_max": self._lag_max,
                **self._source.metrics(),
                "workers": len(collected),
                "workers_replaced": self._pool.replaced,
                "wall_s": wall_s,
                "steps_per_second": self.agent_steps / wall_s,
                **times,
            }
            if self.agent_steps >= self._spec.config.steps:
                self._source.take_last_labels(self.last, self.agent_steps)
            self._unwritten_s = {name: self._unwritten_s.get(name, 0.0) + took_s for name, took_s in times.items()}
            every = max(1, self._spec.config.steps // ROWS)
            if self.agent_steps // every > self._written_at // every:
                self._write_row()

    def _write_row(self) -> None:
        """The latest update's metrics, but the seconds of all since the row before."""
        self._folder.append_metrics({**self.last, **self._unwritten_s})
        self._unwritten_s = {}
        self._written_at = self.agent_steps

    def _returns(self) -> dict[str, Any]:
        """What the charts compare. A baseline predicts nothing: what it is paid is the true reward itself."""
        summary = self._episodes.summary()
        if not self._source.predicts:
            del summary["predicted_return"]
            return summary
        return {**summary, "segment_correlation": self._segments.correlation()}

    def _count(self, collected: Collected, predicted: list[np.ndarray]) -> None:
        for (rollout, hidden), block in zip(collected, predicted, strict=True):
            self._episodes.add(rollout, hidden, block)
            if self._source.predicts:
                self._segments.add(rollout, hidden, block)
            self.agent_steps += rollout.num_steps
            self._environment_steps += rollout.num_steps

    def _warm_up(self) -> None:
        """The untrained policy acts: for the observation statistics, and for the first quarter of the labels.

        Its steps are environment steps but not agent steps: the run's length and the label schedule count from the
        first update."""
        config = self._spec.config
        self._source.hurry(True)
        while self._environment_steps < (config.loop.warmup_steps if self._source.predicts else 1):
            self._act_untrained("warm-up")
        while not self._source.is_ready():
            self._show_phase("first labels")
            if self._source.wait():
                self._act_untrained("first labels")
        self._source.hurry(False)

    def _act_untrained(self, phase: str) -> None:
        self._submit()
        collected = self._pool.gather()
        if self._environment_steps == 0:
            self._folder.log_event(
                f"first rollout {time.time() - psutil.Process().create_time():.1f} s after the command"
            )
        self._environment_steps += sum(rollout.num_steps for rollout, _ in collected)
        self._learner.observe([rollout for rollout, _ in collected])
        self._source.observe(collected, 0)
        self._show_phase(phase)

    def _show_phase(self, phase: str) -> None:
        self._show({"phase": phase, "environment_steps": self._environment_steps, **self._source.metrics()})

    def _due_for_checkpoint(self) -> bool:
        return self._checkpoint_due <= self.agent_steps < self._spec.config.steps

    def _next_checkpoint(self) -> int:
        """Agent steps at which the next is due, with the workers that there are by now."""
        every = steps_between_checkpoints(self._spec.config, self._spec.task.preset, self._pool.size)
        return (self.agent_steps // every + 1) * every

    def checkpoint(self) -> None:
        """Write everything that a resume needs. A checkpoint is a clean cut: episodes start anew and recent clips are
        forgotten, here as after a resume, so that a resumed run goes on exactly as one that never stopped. (Why not
        save the environments? Most of gymnasium's cannot be.)"""
        if self.agent_steps > self._written_at:
            self._write_row()  # a resumed run has all rows up to here, and a finished one its last
        self._generation += self.agent_steps > self._cut_at  # a second one at the same step is the same cut
        self._cut()
        save_checkpoint(
            self._folder.checkpoints,
            self.agent_steps,
            {
                "run": self._spec.run_id,
                "learner": self._learner.state_dict(),
                "services": self._source.state_dict(),
                "episodes": self._episodes.state_dict(),
                "agent_steps": self.agent_steps,
                "environment_steps": self._environment_steps,
                "generation": self._generation,
                "lag_max": self._lag_max,
                "wall_s": self._wall_s(),
                "last": as_json(self.last),
            },
        )
        self._folder.log_event(f"checkpoint at {self.agent_steps} agent steps")
        self._saved()

    def resume(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint's state. Raises CheckpointError where it is not this run's."""
        if state["run"] != self._spec.run_id:
            raise CheckpointError(f"the checkpoint is of another run ({state['run']}); {_FOREIGN}")
        try:
            self._learner.load_state_dict(state["learner"])
        except (KeyError, TypeError, RuntimeError) as error:
            raise CheckpointError(f"the checkpoint holds no learner of this run's configuration; {_FOREIGN}") from error
        self._source.load_state_dict(state["services"])
        self._episodes.load_state_dict(state["episodes"])
        self.agent_steps = self._written_at = state["agent_steps"]
        self._environment_steps = state["environment_steps"]
        self._generation = state["generation"]
        self._lag_max = state["lag_max"]
        self._spent_s = state["wall_s"]
        self._started_s = time.monotonic()
        self._folder.cut_metrics(self.agent_steps)
        self.last = state["last"]
        self._cut()

    def _cut(self) -> None:
        self._cut_at = self.agent_steps
        self._checkpoint_due = self._next_checkpoint()
        self._pool.restart(self._generation)
        self._episodes.cut()
        self._segments.cut()
        self._source.forget()

    def _wall_s(self) -> float:
        return self._spent_s + time.monotonic() - self._started_s
