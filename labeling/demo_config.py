"""DemoConfig: which demo of the small world is wanted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from actors.failures import UsageError
from actors.small_world import Grid

PRESETS = ("oracle", "person", "offline")


class DemoError(UsageError, ValueError):
    """There is no such demo."""


@dataclass(frozen=True)
class DemoConfig:
    """preset: "oracle" asks a synthetic labeler as it goes; "person" whoever sits at the page; "offline" asks the
    synthetic labeler a number of times about the first few steps, and never again.
    algorithm: what moves the agent, "planner" or "ppo". exploration: the planner's share of moves at random.
    error_rate: of the synthetic labeler."""

    preset: Literal["oracle", "person", "offline"] = "oracle"
    seed: int = 1
    size: int = Grid.size
    goal: tuple[int, int] = Grid.goal
    selection: Literal["disagreement", "random"] = "disagreement"
    members: int = 3
    error_rate: float = 0.0
    algorithm: Literal["planner", "ppo"] = "planner"
    exploration: float = 0.5

    def __post_init__(self) -> None:
        if self.preset not in PRESETS:
            raise DemoError(f"there is no preset {self.preset!r}: choose one of {', '.join(PRESETS)}")
        if self.selection not in ("disagreement", "random"):
            raise DemoError(f"queries are chosen by disagreement or at random, not by {self.selection!r}")
        if self.algorithm not in ("planner", "ppo"):
            raise DemoError(f"the agent is moved by the planner or by ppo, not by {self.algorithm!r}")
        for name, most in (("error_rate", 0.5), ("exploration", 1.0)):
            if not 0.0 <= getattr(self, name) <= most:
                raise DemoError(f"{name} must be between 0 and {most:g}, got {getattr(self, name)}")
        if not 1 <= self.members <= 7:
            raise DemoError(f"the ensemble has 1 to 7 members, not {self.members}")
        Grid(self.size, self.goal)
