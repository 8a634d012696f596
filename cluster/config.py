"""RunConfig: everything that a run needs to be repeated, composed of the records that its parts read.

`configure.py` makes one. It is written to the run folder as config.toml and read back from there by resume, evaluate
and report.
"""

from __future__ import annotations

import dataclasses
import math
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import tomli_w

from actors.limits import within
from actors.policy import PolicyConfig
from actors.rollout import RolloutConfig
from actors.tasks import Task, make_task
from cluster.label_server import LabelServerConfig
from cluster.prometheus import MetricsConfig
from cluster.settings import ConfigError, as_tables, flattened, replaced
from cluster.supervise import SupervisionConfig
from labeling.oracle import OracleConfig
from labeling.query_actor import QueryConfig
from labeling.schedule import LabelSchedule
from learners.a2c import A2CConfig
from learners.learner import LearnerConfig
from learners.ppo import PPOConfig
from learners.trpo import TRPOConfig
from reward_service.address import with_password, without_password
from reward_service.trainer_config import RewardTrainerConfig


@dataclass(frozen=True)
class LoopConfig:
    """How the three loops share a machine.

    warmup_steps            environment steps of the untrained policy before the first update
    pretrain_steps          at least so many gradient steps of the reward model before the first update
    pretrain_epochs         at least so many passes of it over the first labels before then (paper, games: 200)
    reward_share            share of one core that reward training may use, with Ray, while it is behind its labels:
                            each that comes in is owed `reward_steps_per_label` gradient steps
    reward_steady_share     the same while it is not behind, if that is less
    reward_steps_per_label  gradient steps that a new label is owed
    reward_steps            turns of the reward service between two policy updates, with --in-process
    service_updates         policy updates between two turns of labeling and reward training, with --in-process; above
                            1 where updates are small
    checkpoint_steps        agent steps between checkpoints; 0: a tenth of the run, or two episodes of every
                            environment where that is more
    clip_budget_mib         memory for clips in Redis
    reward_node             custom resource of Ray's, offered by the nodes on which the reward service may be; "":
                            beside the learner
    device                  of learner and reward service: "auto" (CUDA where there is one), "cpu" or "cuda"
    learner_threads         CPU threads of the process that learns; above 1 where convolutions are learned on a CPU. In
                            process reward training has them, too. They order sums: another number is another run
    """

    warmup_steps: int = 32_768
    pretrain_steps: int = 300
    pretrain_epochs: int = 0
    reward_share: float = 0.3
    reward_steady_share: float = 0.05
    reward_steps_per_label: int = 3
    reward_steps: int = 1
    service_updates: int = 1
    checkpoint_steps: int = 0
    clip_budget_mib: int = 512
    reward_node: str = ""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    learner_threads: int = 1

    def __post_init__(self) -> None:
        within(self, warmup_steps="[1, inf)", pretrain_steps="[0, inf)", pretrain_epochs="[0, inf)")
        within(
            self,
            reward_share="(0, 1]",
            reward_steady_share="(0, 1]",
            reward_steps_per_label="[0, inf)",
            reward_steps="[1, inf)",
            service_updates="[1, inf)",
            checkpoint_steps="[0, inf)",
            clip_budget_mib="[1, inf)",
            learner_threads="[1, inf)",
        )


@dataclass(frozen=True)
class RunConfig:
    """One run. clip_steps 0: the task's own; workers 0: one for every core but one, on a cluster as many as it has room
    for. store: address below which the run's folder is stored, too (`cluster.store`)."""

    task: str
    algorithm: Literal["ppo", "trpo", "a2c"] = "ppo"
    labeler: Literal["synthetic", "human", "none"] = "synthetic"
    labels: int = 700
    steps: int = 2_000_000
    seed: int = 1
    workers: int = 0
    clip_steps: int = 0
    in_process: bool = False
    address: str = ""
    redis: str = ""
    store: str = ""
    rollout: RolloutConfig = field(default_factory=RolloutConfig)
    policy: PolicyConfig = field(default_factory=PolicyConfig)
    learner: LearnerConfig = field(default_factory=LearnerConfig)
    ppo: PPOConfig = field(default_factory=PPOConfig)
    trpo: TRPOConfig = field(default_factory=TRPOConfig)
    a2c: A2CConfig = field(default_factory=A2CConfig)
    reward: RewardTrainerConfig = field(default_factory=RewardTrainerConfig)
    query: QueryConfig = field(default_factory=QueryConfig)
    oracle: OracleConfig = field(default_factory=OracleConfig)
    labeling: LabelServerConfig = field(default_factory=LabelServerConfig)
    supervision: SupervisionConfig = field(default_factory=SupervisionConfig)
    metrics: MetricsConfig = field(default_factory=MetricsConfig)
    loop: LoopConfig = field(default_factory=LoopConfig)

    def make_task(self) -> Task:
        """The task, with the run's clip length where it sets one."""
        task = make_task(self.task)
        if not self.clip_steps:
            return task
        return dataclasses.replace(task, preset=dataclasses.replace(task.preset, clip_steps=self.clip_steps))

    @property
    def uses_labels(self) -> bool:
        """Whether this run learns from comparisons; otherwise it is the true-reward baseline."""
        return self.labeler != "none"

    @property
    def is_elastic(self) -> bool:
        """Whether rollout workers come and go with the nodes of a cluster."""
        return bool(self.address) and not self.workers and not self.in_process


def flat_config(config: RunConfig) -> dict[str, Any]:
    """All settings by dotted name, without Redis's password."""
    return dict(flattened(_told(config)))


def _told(config: RunConfig) -> dict[str, Any]:
    return as_tables(dataclasses.replace(config, redis=without_password(config.redis)))


def label_schedule(config: RunConfig, overlap: int = 1) -> LabelSchedule:
    """How many labels the run wants by when."""
    return LabelSchedule(config.labels, config.steps, config.query.initial_fraction, config.query.offline, overlap)


def pretraining_steps(config: RunConfig) -> int:
    """Gradient steps of the reward model before the policy first moves."""
    first_labels = label_schedule(config).initial_labels
    passes = math.ceil(config.loop.pretrain_epochs * first_labels / config.reward.batch_pairs)
    return max(config.loop.pretrain_steps, passes)


def save_config(config: RunConfig, path: Path) -> None:
    """Write config.toml, complete but for Redis's password."""
    whole = path.with_suffix(".tmp")  # who looks meanwhile sees the one before, or none
    whole.write_text(tomli_w.dumps(_told(config)))
    whole.replace(path)


def load_config(path: Path) -> RunConfig:
    """Read config.toml; a password of Redis is in the environment, if anywhere.
    Raises ConfigError where it is missing, damaged or of another version."""
    try:
        data = tomllib.loads(path.read_text())
        config = replaced(RunConfig(task=data["task"]), dict(flattened(data)))
        config = dataclasses.replace(config, redis=with_password(config.redis))
    except (OSError, KeyError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path} is not a run's configuration ({error}); name the folder of a run") from error
    return config
