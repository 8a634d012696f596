"""A clip that is as small as a clip can be, where what is done with it is the subject, and not what it shows."""

from __future__ import annotations

import numpy as np

from actors.trajectory import Clip, Segment


def one_step_clip(clip_id: str, true_return: float = 0.0) -> Clip:
    """Sees nothing but a 0, and does nothing."""
    step = Segment(np.zeros((1, 1), np.float32), np.zeros((1, 1), np.float32))
    return Clip(clip_id, step, np.zeros((1, 0), np.float32), true_return, 0)
