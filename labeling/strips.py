"""Strips: both clips of a pair, or one alone, as one picture, for tasks that draw themselves (`actors/replay.py`).

    strips = Strips(task)
    strip = strips.of(pair.left, pair.right)      # WebP, its digest, and where which frame is

One picture for a pair, since both clips are needed at once, and one reply either is there or is not. Strips are kept up
to a number of bytes, those used last; what is not kept is drawn again, with the same digest.

A game's frames are in it pixel for pixel: what a ball or a digit is made of is few pixels, and a strip of flat colours
is smaller without loss than with it (EXPERIMENTS.md, "Atari"). Other tasks draw larger pictures, with soft edges: they
are scaled down and lose what nobody sees.

`StripAhead` draws what will be asked for next, so that nobody waits. It cannot proceed while Redis does not answer or
nothing waits; then it looks again a moment later.
"""

from __future__ import annotations

import hashlib
import io
import logging
import math
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import redis
from PIL import Image

from actors.replay import DrawingError, clip_frames
from actors.tasks import Task
from actors.trajectory import Clip
from labeling.queue import QueryQueue
from reward_service.database import ComparisonDatabase

Array = np.ndarray

MAX_SIDE_PX = 320
MEDIA_TYPE = "image/webp"
_EXACT = {"lossless": True, "quality": 0, "method": 1}  # with more effort twice the time, and a tenth less
_LOSSY = {"quality": 85, "method": 0}
_MAX_PICTURE_PX = 16383  # a side of a WebP picture, by its format
_AHEAD_PAIRS = 16
_LOOK_AGAIN_S = 0.5
_AFTER_FAILURE_S = 30.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Strip:
    """The frames of one or two clips of L steps in reading order, `columns` in a row, `width` x `height` px each: those
    of `first` (a clip id), then those of the other. `digest` is of `data`, a WebP picture."""

    data: bytes
    digest: str
    first: str
    columns: int
    width: int
    height: int


class Strips:
    """Draws and keeps. Safe to share between threads; one draws at a time, since drawing libraries are not."""

    def __init__(self, task: Task, budget_bytes: int = 64 * 1024 * 1024) -> None:
        self._task, self._budget_bytes = task, budget_bytes
        self._kept: OrderedDict[tuple[str, ...], Strip] = OrderedDict()  # the latest used last
        self._bytes = 0
        self._keeping, self._drawing = threading.Lock(), threading.Lock()

    def of(self, *clips: Clip) -> Strip:
        """The strip of a pair, whichever is on which side, or of a clip alone. Raises ValueError where this one cannot
        be drawn, and DrawingError where none can be."""
        ordered = sorted(clips, key=lambda clip: clip.clip_id)
        key = tuple(clip.clip_id for clip in ordered)
        if (strip := self._find(key)) is not None:
            return strip
        with self._drawing:
            if (strip := self._find(key)) is not None:  # somebody else wanted it, too
                return strip
            strip = draw_strip(self._task, ordered)
            self._keep(key, strip)
            return strip

    def has(self, left: str, right: str) -> bool:
        """Whether the strip of these two clips is kept now."""
        with self._keeping:
            return (min(left, right), max(left, right)) in self._kept

    def _find(self, key: tuple[str, ...]) -> Strip | None:
        with self._keeping:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def _keep(self, key: tuple[str, ...], strip: Strip) -> None:
        with self._keeping:
            self._kept[key] = strip
            self._bytes += len(strip.data)
            while self._bytes > self._budget_bytes and len(self._kept) > 1:
                _, dropped = self._kept.popitem(last=False)
                self._bytes -= len(dropped.data)


def draw_strip(task: Task, clips: Sequence[Clip]) -> Strip:
    """Plays one or two clips again and puts their frames into one picture. Raises ValueError and DrawingError."""
    exact = task.atari_rom is not None
    drawn = [frame for clip in clips for frame in clip_frames(task, clip)]
    frames = [Image.fromarray(frame) if exact else _scaled(frame) for frame in drawn]
    width, height = frames[0].size
    columns = math.ceil(math.sqrt(len(frames)))
    size = columns * width, math.ceil(len(frames) / columns) * height
    if max(size) > _MAX_PICTURE_PX:
        raise ValueError(f"{len(frames)} frames are too many for one picture; lower --clip-steps")
    if any(frame.size != (width, height) for frame in frames):
        raise ValueError(f"{task.environment_id} draws pictures of different sizes")
    sheet = Image.new("RGB", size)
    for index, frame in enumerate(frames):
        sheet.paste(frame, (index % columns * width, index // columns * height))
    file = io.BytesIO()
    sheet.save(file, "WEBP", **(_EXACT if exact else _LOSSY))
    data = file.getvalue()
    return Strip(data, hashlib.blake2b(data, digest_size=16).hexdigest(), clips[0].clip_id, columns, width, height)


def _scaled(frame: Array) -> Image.Image:
    picture = Image.fromarray(frame)
    share = min(1.0, MAX_SIDE_PX / max(picture.size))
    if share == 1.0:
        return picture
    size = max(1, round(share * picture.width)), max(1, round(share * picture.height))
    return picture.resize(size, Image.Resampling.BILINEAR)


class StripAhead:
    """Draws the most wanted queries' strips on a thread of its own. What cannot be read or drawn is withdrawn."""

    def __init__(self, queue: QueryQueue, database: ComparisonDatabase, strips: Strips) -> None:
        self._queue, self._database, self._strips = queue, database, strips
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="strips", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def step(self) -> bool:
        """Draw the most wanted strip that is not kept; False where there is none."""
        for query_id, (left, right) in self._database.sides_of(self._queue.most_wanted(_AHEAD_PAIRS)).items():
            if self._strips.has(left, right):
                continue
            try:
                clips = self._database.clips.get([left, right])
                if len(clips) < 2:
                    continue  # whoever claims it withdraws it
                self._strips.of(clips[left], clips[right])
            except ValueError as error:
                _log.warning("withdrawn, since it cannot be shown: query %s: %s", query_id, error)
                self._queue.withdraw(query_id)
            return True
        return False

    def _work(self) -> None:
        while not self._stop.is_set():
            try:
                drew = self.step()
            except redis.RedisError:
                drew = False
            except DrawingError as error:
                _log.error("%s; pairs wait until that is mended", error)
                self._stop.wait(_AFTER_FAILURE_S)
                drew = False
            if not drew:
                self._stop.wait(_LOOK_AGAIN_S)
