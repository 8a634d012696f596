"""Show: pairs as the page draws them, from poses of a scene, from paths on a grid, or from a picture strip."""

from __future__ import annotations

import base64
import threading
from typing import Any

import numpy as np

from actors.tasks import Task
from actors.trajectory import Clip
from labeling.paths import describe_grid, grid_of, path_of
from labeling.scenes import Scene
from labeling.strips import MEDIA_TYPE, Strip, Strips


class Show:
    """A task's clips: MuJoCo's and the small world's are drawn by the page, all others here, as pictures."""

    def __init__(self, task: Task) -> None:
        self.scene = Scene(task.mujoco_model) if task.mujoco_model else None
        self.grid = grid_of(task)
        is_drawn_there = self.scene is not None or self.grid is not None
        self.strips = Strips(task) if task.has_pictures and not is_drawn_there else None
        self._step_s = task.step_s
        self._lock = threading.Lock()  # a scene works in one MjData, and routes on many threads

    @property
    def drawable(self) -> bool:
        """Whether a page can show this task at all."""
        return self.scene is not None or self.grid is not None or self.strips is not None

    def description(self) -> dict[str, Any]:
        """What a page must know before the first clip; no camera: it is given paths on a grid, or pictures."""
        if self.scene:
            return self.scene.description()
        flat = {"geoms": [], "camera": None, "floor": False}
        return {**flat, "grid": describe_grid(self.grid)} if self.grid else flat

    def pair(self, left: Clip, right: Clip, query_id: str = "") -> dict[str, Any]:
        """Both clips for JSON: poses of every step, or the place of their strip. Without a query, which nobody can
        hold, the strip itself is in its place. Raises ValueError where they cannot be drawn."""
        return self._shown({"left": left, "right": right}, query_id)

    def clip(self, clip: Clip) -> dict[str, Any]:
        """The same for a clip alone, under "clip"."""
        return self._shown({"clip": clip})

    def _shown(self, clips: dict[str, Clip], query_id: str = "") -> dict[str, Any]:
        if self.grid is not None:
            return {name: self._path(clip) for name, clip in clips.items()}
        if self.strips is None:
            return {name: self._poses(clip) for name, clip in clips.items()}
        strip = self.strips.of(*clips.values())
        url = f"/api/strips/{query_id}/{strip.digest}"
        if not query_id:
            url = f"data:{MEDIA_TYPE};base64,{base64.b64encode(strip.data).decode()}"
        shown = {"url": url, "columns": strip.columns, "width": strip.width, "height": strip.height}
        return {"strip": shown, **{name: self._frames(clip, strip) for name, clip in clips.items()}}

    def _frames(self, clip: Clip, strip: Strip) -> dict[str, Any]:
        steps = len(clip.segment)
        first_frame = 0 if clip.clip_id == strip.first else steps
        return {"steps": steps, "step_s": self._step_s, "first_frame": first_frame}

    def _path(self, clip: Clip) -> dict[str, Any]:
        return {"steps": len(clip.segment), "step_s": self._step_s, "cells": path_of(clip)}

    def _poses(self, clip: Clip) -> dict[str, Any]:
        if self.scene is None:
            raise ValueError("clips of this task cannot be drawn")
        with self._lock:
            poses = self.scene.poses(clip.states)
        packed = {name: _base64(getattr(poses, name)) for name in ("positions", "rotations", "focus")}
        return {"steps": len(clip.states), "step_s": self._step_s, **packed}


def _base64(array: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(array, "<f4").tobytes()).decode()
