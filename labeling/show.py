"""Show: clips as the page draws them."""

from __future__ import annotations

import base64
import threading
from typing import Any

import numpy as np

from actors.tasks import Task
from actors.trajectory import Clip
from labeling.scenes import Scene


class Show:
    """Clips as a page draws them."""

    def __init__(self, task: Task) -> None:
        self.scene = Scene(task.mujoco_model) if task.mujoco_model else None
        self._step_s = task.step_s
        self._lock = threading.Lock()  # a scene works in one MjData, and routes on many threads

    def clip(self, clip: Clip) -> dict[str, Any]:
        """Poses of every step, as base64 of little-endian float32. Raises ValueError where it cannot be drawn."""
        if self.scene is None:
            raise ValueError("clips of this task have no states to be drawn from")
        with self._lock:
            poses = self.scene.poses(clip.states)
        packed = {name: _base64(getattr(poses, name)) for name in ("positions", "rotations", "focus")}
        return {"steps": len(clip.states), "step_s": self._step_s, **packed}


def _base64(array: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(array, "<f4").tobytes()).decode()
