"""RolloutWorker: steps B environments T times with one version of the policy.

    worker = RolloutWorker(task, PolicyConfig(), RolloutConfig(num_envs=16, steps=256), worker=0, seed=1)
    rollout, hidden = worker.step(weights)

One torch thread, one forward pass per step for all environments, and nothing drawn. Noise is drawn and log
densities are computed for the whole block at once: per step there is only what cannot wait. Where the policy is on a
GPU one batch of observations goes there at each step, and one of means or logits comes back; noise is the CPU's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from actors.devices import OwnQueue, to_device
from actors.environments import make_environments
from actors.frames import kept_dtype, kept_shape, stack_depth
from actors.limits import within
from actors.origins import Keyframes, Origins
from actors.policy import ActorCritic, PolicyConfig
from actors.simulators import Emulator, EnvironmentFailure
from actors.tasks import Task
from actors.trajectory import Hidden, Rollout
from actors.weights import PolicyWeights

Array = np.ndarray


@dataclass(frozen=True)
class RolloutConfig:
    """num_envs  B, environments of each worker
    steps     T, steps of each environment in a rollout
    cores     on so many cores a worker's environments are stepped, at most one for each; above 1 with --in-process only
    device    "cpu", "cuda" or "auto": where the policy acts; "cuda" with --in-process only
    """

    num_envs: int = 16
    steps: int = 256
    cores: int = 1
    device: Literal["auto", "cpu", "cuda"] = "cpu"

    def __post_init__(self) -> None:
        within(self, num_envs="[1, inf)", steps="[1, inf)")


KEYFRAME_STEPS = 32
"""At most so many steps of a rollout are between two kept states of an emulator: what a clip's replay begins with. A
state costs 50 to 90 us and 8 KB for each environment."""


class AbandonedError(RuntimeError):
    """A rollout was under way that nobody wants any more."""


class RolloutWorker:
    """Acts. Does not know in which process it runs, nor what reward is. For one thread at a time, but for `abandon`."""

    def __init__(self, task: Task, policy: PolicyConfig, config: RolloutConfig, worker: int, seed: int) -> None:
        self._task, self._config, self._worker = task, config, worker
        self._environments = make_environments(task, config.num_envs, seed, cores=config.cores)
        device = torch.device(config.device)
        self._queue = OwnQueue(device)
        with self._queue():
            self._policy = ActorCritic(policy, task.observation_shape, task.action).to(device)
        self._random = torch.Generator().manual_seed(seed)
        self.steps_done = 0
        """Steps of each environment since this worker was built: whoever watches it sees it move in mid-rollout."""
        self._is_abandoned = False
        first, depth = self._environments.observations, stack_depth(task.observation_shape)
        self._before = np.repeat(first[None], depth - 1, axis=0)  # pictures before the newest: it fills the first stack
        self._earlier = np.empty((0, config.num_envs, *task.action.shape))  # executed, back to the oldest latest start

    def step(self, weights: PolicyWeights, steps: int = 0) -> tuple[Rollout, Hidden]:
        """Collect T x B steps; T: `steps`, or as configured. Raises EnvironmentFailure where the world breaks,
        ValueError for foreign weights, AbandonedError."""
        with self._queue():
            return self._step(weights, steps)

    def _step(self, weights: PolicyWeights, steps: int) -> tuple[Rollout, Hidden]:
        self._policy.load(weights)
        steps, envs = steps or self._config.steps, self._config.num_envs
        task, world = self._task, self._environments
        depth, kept = stack_depth(task.observation_shape), kept_shape(task.observation_shape)
        # Poison where there is any: what was forgotten to be written is found out.
        poison = np.nan if depth == 1 else 0
        observations = np.full((depth + steps, envs, *kept), poison, kept_dtype(task.observation_shape))
        observations[: depth - 1] = self._before
        true_rewards = np.full((steps, envs), np.nan, np.float32)
        states = np.empty((steps, envs, world.states().shape[1]), np.float32)
        starts: list[Array] = []
        truncated = np.zeros((steps, envs), bool)
        final_observations: list[Array] = []
        recorder = None if world.emulator is None else _EmulatorRecorder(world.emulator, steps, envs)
        act = self._actor(steps)
        with torch.inference_mode():
            for t in range(steps):
                if self._is_abandoned:
                    raise AbandonedError("nobody wants this rollout any more")
                observations[t + depth - 1] = world.observations
                seen = observations[t] if depth == 1 else observations[t : t + depth].swapaxes(0, 1)  # [B, *O]
                states[t] = world.states()
                if (start := world.starts()) is not None:
                    starts.append(start)
                if recorder is not None:
                    recorder.before(t)
                moment = world.step(act(t, seen))
                if recorder is not None:
                    recorder.after(t)
                true_rewards[t] = moment.true_rewards
                self.steps_done += 1
                if len(moment.ended):
                    truncated[t, moment.ended] = True
                    final_observations.append(moment.final_observations)
            observations[-1] = world.observations
            self._before = observations[-depth:-1].copy()
            actions, log_probs = act.finish()
        ends = np.argwhere(truncated)
        last = np.concatenate([np.empty((0, *kept), observations.dtype), *final_observations])
        if depth == 1:  # pictures cannot hold what is not a number
            self._refuse_nan(observations, "observation")
            self._refuse_nan(last, "last observation", ends)
        self._refuse_nan(true_rewards, "reward")
        rollout = Rollout(
            observations=observations,
            actions=actions,
            log_probs=log_probs,
            terminated=np.zeros_like(truncated),
            truncated=truncated,
            ends=ends,
            final_observations=last,
            policy_version=weights.version,
            worker=self._worker,
            first_step=self.steps_done - steps,
        )
        origins = self._origins(starts, actions) if starts else None
        if recorder is None:
            return rollout, Hidden(true_rewards, states, origins)
        return rollout, Hidden(true_rewards, states, origins, recorder.keyframes(), recorder.games())

    def abandon(self) -> None:
        """Said by another thread: the rollout under way ends with AbandonedError at its next step, as any later one."""
        self._is_abandoned = True

    def close(self) -> None:
        """Release what the environments hold: processes, sockets, windows of somebody's own."""
        self._environments.close()

    def _origins(self, starts: list[Array], actions: Array) -> Origins:
        """Where each step came from; remembers what the next rollout's steps will have come from."""
        executed = self._task.action.executed(actions)
        began = np.stack(starts)  # [T, B, 2]
        origins = Origins(began[..., 0], began[..., 1], self._earlier.astype(executed.dtype, copy=False))
        now = self._environments.starts()
        assert now is not None
        done = np.concatenate((origins.earlier, executed))
        self._earlier = done[len(done) - int(now[:, 1].max()) :].copy()
        return origins

    def _actor(self, steps: int) -> _GaussianActor | _CategoricalActor:
        kind = _CategoricalActor if self._task.action.discrete else _GaussianActor
        return kind(self._policy, self._random, steps, self._config.num_envs)

    def _refuse_nan(self, values: Array, what: str, places: Array | None = None) -> None:
        """`values` [T, B, ...], or [K, ...] with their `places` [K, 2]."""
        if not np.isfinite(values).all():
            first = np.argwhere(~np.isfinite(values))[0]
            t, env = first[:2] if places is None else places[first[0]]
            raise EnvironmentFailure(
                f"{self._task.environment_id} gave a {what} that is not a finite number (worker {self._worker}, "
                f"environment {env}, step {t} of its rollout). Fix the environment, or clip it in a wrapper."
            )


class _EmulatorRecorder:
    """Notes beside a rollout how its steps are come to again, and which games ended in it."""

    def __init__(self, emulator: Emulator, steps: int, envs: int) -> None:
        self._emulator, self._steps = emulator, steps
        self._rows: list[int] = []
        self._states: list[Array] = []
        self._begun = np.empty((steps, envs), np.int64)
        self._games: list[Array] = []

    def before(self, t: int) -> None:
        """Step t is about to be done; the one after it may be one to keep. The next rollout's first always is."""
        self._begun[t] = self._emulator.begun()
        if (states := self._emulator.kept()) is not None:
            self._rows.append(t)
            self._states.append(states)
        if (t + 1) % KEYFRAME_STEPS == 0 or t + 1 == self._steps:
            self._emulator.mark()

    def after(self, t: int) -> None:
        games = self._emulator.games()
        self._games.append(np.column_stack((np.full(len(games), t), games)))

    def keyframes(self) -> Keyframes:
        return Keyframes(np.array(self._rows), np.stack(self._states), self._begun)

    def games(self) -> Array:
        return np.concatenate(self._games)


def _head(policy: ActorCritic, observations: Array) -> Tensor:
    """[B, A] on the CPU, wherever the policy is."""
    device = policy.observation_mean.device
    seen = torch.from_numpy(observations) if device.type == "cpu" else to_device(observations, device)
    return policy.head(policy.normalise(seen)).cpu()


class _GaussianActor:
    """mean + noise. Noise [T, B, A] is drawn before, densities are computed after the block."""

    def __init__(self, policy: ActorCritic, random: torch.Generator, steps: int, envs: int) -> None:
        self._policy = policy
        self._noise = torch.randn(steps, envs, policy.action.size, generator=random)
        self._log_std = policy.log_std.detach().cpu()
        self._actions = self._noise * self._log_std.exp()

    def __call__(self, t: int, observations: Array) -> Array:
        self._actions[t] += _head(self._policy, observations)
        return self._actions[t].numpy()

    def finish(self) -> tuple[Array, Array]:
        log_probs = -0.5 * (self._noise**2).sum(-1) - (self._log_std + 0.5 * np.log(2 * np.pi)).sum()
        return self._actions.numpy(), log_probs.numpy()


class _CategoricalActor:
    """Gumbel-max sampling: argmax of logits + noise [T, B, A] is a sample of the softmax."""

    def __init__(self, policy: ActorCritic, random: torch.Generator, steps: int, envs: int) -> None:
        self._policy = policy
        uniform = torch.rand(steps, envs, policy.action.num_choices, generator=random)
        self._gumbel = -torch.log(-torch.log(uniform.clamp(1e-12, 1 - 1e-7)))
        self._actions = torch.empty(steps, envs, dtype=torch.int64)
        self._heads = torch.empty(steps, envs, policy.action.num_choices)

    def __call__(self, t: int, observations: Array) -> Array:
        self._heads[t] = _head(self._policy, observations)
        torch.argmax(self._heads[t] + self._gumbel[t], -1, out=self._actions[t])
        return self._actions[t].numpy()

    def finish(self) -> tuple[Array, Array]:
        return self._actions.numpy(), self._policy.log_prob(self._heads, self._actions).numpy()
