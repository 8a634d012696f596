"""Belief: where the reward model has been asked, and what it would pay there, on a plane: more or less than for the
average step that is shown.

A small world's cells are the plane; so are the observation's two numbers, where there are two; any other observation is
projected onto the two directions in which what was asked about differs most (principal components). Only stored clips
are looked at, and only those are stored that a query names, or the practice: what is empty on the plane was not asked
about lately.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from actors.small_world import cells_seen
from actors.tasks import Task
from labeling.gallery import Gallery
from labeling.paths import grid_of
from reward_service.database import ComparisonDatabase
from reward_service.snapshot_header import SnapshotError

Array = np.ndarray

NUM_CLIPS = 256
BINS = 18
"""On each side of a plane that is not a grid of cells."""
_LEAST_SPREAD = 1e-9


@dataclass(frozen=True, eq=False)
class Plane:
    """places [N, 2] float64 of N observations; axes: what the two directions are; cells: a side, where places are whole
    numbers of cells (column, row), else 0. kept: the share of the variance that the two directions hold."""

    places: Array
    axes: tuple[str, str]
    cells: int = 0
    kept: float = 1.0


def plane_of(task: Task, observations: Array) -> Plane:
    """Observations [N, O] on a plane. O is at least 1."""
    if (grid := grid_of(task)) is not None:
        rows, columns = np.divmod(cells_seen(observations), grid.size)
        return Plane(np.stack((columns, rows), axis=1).astype(np.float64), ("column", "row"), grid.size)
    if observations.shape[1] == 2:
        return Plane(observations.astype(np.float64), ("first number of the observation", "second number"))
    places, kept = principal_plane(observations)
    return Plane(places, ("direction in which clips differ most", "second such direction"), kept=kept)


def principal_plane(observations: Array) -> tuple[Array, float]:
    """Observations [N, O] -> their two principal components [N, 2], each number at unit deviation first, and the share
    of the variance that they hold. The sign is fixed: the greatest weight of a component is positive."""
    centred = observations.astype(np.float64) - observations.mean(axis=0)
    spread = centred.std(axis=0)
    scaled = np.where(spread > _LEAST_SPREAD, centred / np.maximum(spread, _LEAST_SPREAD), 0.0)
    variances, directions = np.linalg.eigh(scaled.T @ scaled / len(scaled))
    two = np.zeros((observations.shape[1], 2))
    found = directions[:, ::-1][:, :2]
    two[:, : found.shape[1]] = found
    strongest = two[np.abs(two).argmax(axis=0), [0, 1]]
    share = variances[::-1][:2].sum() / max(variances.sum(), _LEAST_SPREAD)
    return scaled @ (two * np.where(strongest < 0, -1.0, 1.0)), float(share)


def binned(plane: Plane, paid: Array) -> dict[str, Any]:
    """What is paid [N] at each place, as means over bins, in JSON's types; bins without an observation are left out."""
    if plane.cells:
        low, high, bins = np.zeros(2), np.full(2, plane.cells), plane.cells
    else:
        low, high, bins = plane.places.min(axis=0), plane.places.max(axis=0), BINS
    width = np.maximum(high - low, _LEAST_SPREAD) / bins
    at = np.clip(((plane.places - low) / width).astype(np.int64), 0, bins - 1)
    flat = at[:, 1] * bins + at[:, 0]
    counts = np.bincount(flat, minlength=bins**2)
    means = np.bincount(flat, paid, minlength=bins**2) / np.maximum(counts, 1)
    found = np.flatnonzero(counts)
    return {
        "bins": bins,
        "is_grid": bool(plane.cells),
        "axes": list(plane.axes),
        "kept": round(plane.kept, 3),
        "x": (found % bins).tolist(),
        "y": (found // bins).tolist(),
        "count": counts[found].tolist(),
        "paid": [round(float(value), 3) for value in means[found]],
    }


class Belief:
    """Of one run."""

    def __init__(self, task: Task, database: ComparisonDatabase, gallery: Gallery) -> None:
        self._task, self._database, self._gallery = task, database, gallery

    @property
    def has_plane(self) -> bool:
        """MuJoCo's clips say more by themselves: the gallery shows what is paid for each of their steps."""
        return self._task.mujoco_model is None and len(self._task.observation_shape) == 1

    def newest(self) -> dict[str, Any] | None:
        """The plane of the newest NUM_CLIPS clips and what the newest reward model pays there; None where the task has
        no plane, or before there are clips and a model that fits them."""
        rewards = self._gallery.newest_rewards() if self.has_plane else None
        if rewards is None:
            return None
        clips = self._database.clips.readable(self._database.clips.newest(NUM_CLIPS)).values()
        segments = [clip.segment for clip in clips]
        if not segments:
            return None
        observations = np.concatenate([segment.observations for segment in segments])
        actions = np.concatenate([segment.actions for segment in segments])
        try:
            paid = rewards.pay(observations, actions)
        except SnapshotError:
            return None
        plane = plane_of(self._task, observations)
        above = paid - paid.mean()
        return {"reward_version": rewards.header.version, "clips": len(segments), **binned(plane, above)}
