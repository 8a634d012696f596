"""A picture strip: some frames of a video side by side, as one PNG. For a page that cannot play the video.

write_strip(Path("episode.mp4"), Path("episode.png"), from_s=1.2)
"""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np

from cluster.writing import writing

FRAMES = 8
SPAN_S = 0.9  # from the first to the last of them: a hopper's backflip and its landing
_WIDTH = 190  # of each, cut from the middle, where the camera keeps the agent


def write_strip(video: Path, path: Path, from_s: float) -> str:
    """FRAMES frames, evenly spaced over SPAN_S from `from_s` on; "" or, where the video is shorter, that it is. Raises
    WritingError."""
    import imageio_ffmpeg
    from matplotlib.image import imsave

    frames = imageio_ffmpeg.read_frames(video)
    about = next(frames)
    (width, height), fps = about["size"], about["fps"]
    wanted = np.round((from_s + np.linspace(0.0, SPAN_S, FRAMES)) * fps).astype(int)
    num_frames, _ = imageio_ffmpeg.count_frames_and_secs(video)  # counted: the duration is rounded
    if num_frames <= wanted[-1]:
        frames.close()
        return f"the video has no {SPAN_S} s from {from_s:g} s on; choose an earlier --strip-from"
    cut = slice(max(0, (width - _WIDTH) // 2), (width + _WIDTH) // 2)
    shown = [bytes(frame) for frame in islice(frames, int(wanted[-1]) + 1)]
    frames.close()
    parts = [np.frombuffer(shown[index], np.uint8).reshape(height, width, 3)[:, cut] for index in wanted]
    with writing(path, "--strip"):
        path.parent.mkdir(parents=True, exist_ok=True)
        imsave(path, np.concatenate(parts, axis=1))
    return ""
