"""What a run has learned, for use elsewhere: policy and reward model of its newest checkpoint.

folder = RunFolder.open(Path("runs/half-cheetah-s1"))
task = folder.config.make_task()
step, policy = load_policy(folder, task)
action = best_action(policy, task, observation)   # as gymnasium's `step` takes it
step, ensemble = load_reward(folder, task)
"""

from __future__ import annotations

from typing import Any

import numpy as np

from actors.policy import ActorCritic
from actors.tasks import Task
from cluster.interfaces import REWARD_SERVICE
from cluster.run_folder import RunFolder
from learners.checkpoint import CheckpointError, load_checkpoint
from reward_service.ensemble import RewardEnsemble

Array = np.ndarray


def load_policy(folder: RunFolder, task: Task) -> tuple[int, ActorCritic]:
    """The newest checkpoint's step and policy, on the CPU. Raises CheckpointError."""
    step, state = load_checkpoint(folder.checkpoints)
    policy = ActorCritic(folder.config.policy, task.observation_shape, task.action)
    try:
        policy.load_state_dict(state["learner"]["policy"])
    except (KeyError, TypeError, RuntimeError) as error:
        raise _foreign(folder, "policy") from error
    return step, policy.eval()


def load_reward(folder: RunFolder, task: Task) -> tuple[int, RewardEnsemble]:
    """The newest checkpoint's step and reward model, on the CPU. Called with observations [..., *O] and actions
    [..., *A] in policy units it gives the reward [...] that the agent learns from; `clip_returns` gives the log-odds
    in which members compare clips. Raises CheckpointError, also for a run that learns from its true reward."""
    step, state = load_checkpoint(folder.checkpoints)
    if not folder.config.uses_labels:
        raise CheckpointError(f"{folder.path} learned from the true reward, it has no reward model; name another run")
    ensemble = RewardEnsemble(folder.config.reward.networks, task.observation_shape, task.action)
    try:
        ensemble.load_state_dict(state["services"][REWARD_SERVICE]["ensemble"])
    except (KeyError, TypeError, RuntimeError) as error:
        raise _foreign(folder, "reward model") from error
    return step, ensemble.eval().requires_grad_(False)


def best_action(policy: ActorCritic, task: Task, observation: Array) -> Any:
    """What the policy does without noise where it sees `observation` [*O]: an action as the environment takes it."""
    return task.native_action(in_environment_units(task, policy.deterministic(np.asarray(observation)[None]))[0])


def in_environment_units(task: Task, actions: Array) -> Array:
    """Actions [..., *A] of a policy as they reach the environment: clipped to its bounds, and in its units."""
    return task.action.to_environment(task.action.executed(actions))


def _foreign(folder: RunFolder, what: str) -> CheckpointError:
    return CheckpointError(
        f"the checkpoint in {folder.checkpoints} holds no {what} of this run's configuration; "
        "name the folder of the run that wrote it"
    )
