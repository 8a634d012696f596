"""What a RewardTrainer is given: its settings, and what it needs of the database."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

from actors.limits import within
from reward_service.ensemble_config import EnsembleConfig, Torso
from reward_service.feed import ComparisonLog
from reward_service.fitting import FitConfig
from reward_service.golds import Marks
from reward_service.normalisation import Kind


class Publisher(Protocol):
    """The calls of SnapshotStore that the trainer needs."""

    def put(self, version: int, payload: bytes, cursor: str = ...) -> bool: ...

    def version(self) -> int: ...


class RewardDatabase(ComparisonLog, Protocol):
    """What the trainer needs of ComparisonDatabase."""

    @property
    def snapshots(self) -> Publisher: ...

    def set_status(self, component: str, status: dict[str, Any]) -> None: ...

    def status_of(self, component: str) -> dict[str, Any]: ...

    def gold_marks(self) -> Marks: ...


@dataclass(frozen=True)
class RewardTrainerConfig(FitConfig):
    """members                  networks in the ensemble (paper: 3)
    hidden                   widths of each one's hidden layers (paper, MuJoCo: 64-64)
    input_noise              deviation of the Gaussian noise on normalised observations, in training only
    torso                    of pictures: "paper", or "small" for a quarter of its arithmetic
    dropout                  share of a convolution's channels that are left out, in training only (paper: 0.5)
    gradient_steps_per_step  gradient steps in one turn of the reward service
    publish_every_steps      gradient steps between two snapshots while no label arrives (one publishes at once)
    reward_std               deviation of the agent's reward (paper: 1 for MuJoCo, 0.05 for Atari)
    normalisation            "anchored": zero mean and the deviation `reward_std` over what the untrained policy does;
                             each later snapshot is scaled to give recent steps the same mean and deviation as the one
                             before. "recent": zero mean and that deviation over the latest steps, at each snapshot
                             (paper). See normalisation.py
    recent_steps             the latest agent steps, by which rewards are normalised
    max_labels               keep the latest so many labels only (paper, Atari: 3000); none: all
    reliability              "learned": each labeler's answers weigh as they have proved right; "fixed": all alike,
                             with `error_floor`
    reliability_every_steps  gradient steps between two estimates of how far each labeler is right
    majority                 keep one comparison a query, what most said, and tell nobody apart: a baseline
    seed                     of weights, batches and the split
    """

    members: int = 3
    hidden: tuple[int, ...] = (64, 64)
    input_noise: float = 0.0
    torso: Torso = "paper"
    dropout: float = 0.5
    gradient_steps_per_step: int = 10
    publish_every_steps: int = 100
    reward_std: float = 1.0
    normalisation: Kind = "anchored"
    recent_steps: int = 16384
    max_labels: int | None = None
    reliability: Literal["learned", "fixed"] = "learned"
    reliability_every_steps: int = 100
    majority: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        _ = self.networks  # refuses what no ensemble can be
        within(self, gradient_steps_per_step="[1, inf)", publish_every_steps="[1, inf)", recent_steps="[1, inf)")
        within(self, reward_std="(0, inf)", max_labels="[1, inf)", reliability_every_steps="[1, inf)")
        if self.normalisation not in ("anchored", "recent"):
            raise ValueError(f"normalisation must be 'anchored' or 'recent', got {self.normalisation!r}")
        if self.reliability not in ("learned", "fixed"):
            raise ValueError(f"reliability must be 'learned' or 'fixed', got {self.reliability!r}")

    @property
    def learns_reliability(self) -> bool:
        """Whether labelers are told apart; true returns, in place of answers, do not depend on who was asked."""
        return self.reliability == "learned" and self.target == "comparisons" and not self.majority

    @property
    def networks(self) -> EnsembleConfig:
        """The ensemble that trainer and readers alike must build; without regularisation there is no input noise and no
        dropout."""
        noise, dropout = (self.input_noise, self.dropout) if self.regularise else (0.0, 0.0)
        return EnsembleConfig(self.members, tuple(self.hidden), input_noise=noise, torso=self.torso, dropout=dropout)
