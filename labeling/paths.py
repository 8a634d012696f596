"""Paths: clips of the small world as a page draws them, from nothing but the cells of every step."""

from __future__ import annotations

from typing import Any

from actors.small_world import ENVIRONMENT_ID, Grid, cells_seen
from actors.tasks import Task
from actors.trajectory import Clip


def grid_of(task: Task) -> Grid | None:
    """The grid that a task is played on; None where it is not the small world."""
    return Grid(**task.environment_kwargs) if task.environment_id == ENVIRONMENT_ID else None


def describe_grid(grid: Grid) -> dict[str, Any]:
    """What a page must know before the first path: cells a side, and the numbers of goal and home among them."""
    return {"size": grid.size, "goal": grid.cell(grid.goal), "home": grid.cell(grid.home)}


def path_of(clip: Clip) -> list[int]:
    """The cells of a clip's steps. Raises ValueError for a clip that is not of a grid."""
    observations = clip.segment.observations
    if observations.ndim != 2 or not ((observations == 0) | (observations == 1)).all():
        raise ValueError(f"clip {clip.clip_id} is not of a grid world")
    return cells_seen(observations).tolist()
