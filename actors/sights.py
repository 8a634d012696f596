"""How an emulator's screens become what an agent sees of them."""

from __future__ import annotations

import numpy as np

from actors.atari_games import Box

Array = np.ndarray

SIZE = 84
_HALF = 0.5001
"""What is added before the rest is cut off. A mean may lie just between two bytes, and how a product of matrices rounds
is a matter of the processor: with a little more than a half it is the upper one anywhere. The next mean is 0.0002
away, so a replay on another machine shows the same bytes."""


class Sights:
    """How two grey screens [2, H, W] uint8 become what is seen [84, 84] uint8: the brighter of each pixel, boxes
    painted black, and of what is left the mean of the area that each new pixel covers.

    Why not cv2's INTER_AREA: one more large dependency, for this. Rows are few terms each and are summed, columns are a
    matrix product; one screen at a time and into the same buffers, since several would leave the cache."""

    def __init__(self, shape: tuple[int, ...], boxes: tuple[Box, ...]) -> None:
        height, width = shape
        self._boxes = boxes
        by_row = area_weights(height, SIZE)
        num_taps = int((by_row > 0).sum(1).max())
        first = np.minimum((by_row > 0).argmax(1), height - num_taps)
        taps = first[:, None] + np.arange(num_taps)  # [84, taps]
        self._taps = [(taps[:, k], by_row[np.arange(SIZE), taps[:, k]][:, None]) for k in range(num_taps)]
        self._columns = area_weights(width, SIZE).T.copy()
        self._screen = np.empty((height, width), np.uint8)
        self._taken = np.empty((SIZE, width), np.uint8)
        self._term, self._rows = np.empty((2, SIZE, width), np.float32)
        self._grey = np.empty((SIZE, SIZE), np.float32)

    def of(self, screens: Array) -> Array:
        np.maximum(screens[0], screens[1], out=self._screen)
        for top, left, bottom, right in self._boxes:
            self._screen[top:bottom, left:right] = 0
        self._rows.fill(_HALF)  # rounded, not cut off: the columns' weights add up to 1
        for places, weights in self._taps:
            self._screen.take(places, axis=0, out=self._taken, mode="clip")
            self._rows += np.multiply(self._taken, weights, out=self._term)
        return np.matmul(self._rows, self._columns, out=self._grey).astype(np.uint8)


def area_weights(size: int, out: int) -> Array:
    """[out, size] float32: how much of each of `size` pixels there is in each of `out` that cover the same length."""
    edges = np.arange(out + 1) * (size / out)
    pixels = np.arange(size)
    overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return (overlap.clip(min=0.0) * (out / size)).astype(np.float32)
