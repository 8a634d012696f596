"""Data on its way to the device that computes with it."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor


def to_device(data: np.ndarray | Tensor, device: torch.device) -> Tensor:
    """`data` as a tensor on `device`; never a view of an array, which may be read-only.

    To a GPU it is brought from page-locked memory, and nobody waits until it is there: the GPU fetches it while the
    processor prepares what comes next, and what is to be computed with it waits in the GPU's own queue. Torch keeps the
    page-locked memory for the next array once it was fetched. What is on a GPU already is not locked.
    """
    if device.type != "cuda":
        return torch.tensor(data) if isinstance(data, np.ndarray) else data.to(device)
    if isinstance(data, Tensor) and data.device.type != "cpu":
        return data.to(device)
    if isinstance(data, np.ndarray):
        locked = torch.empty(data.shape, dtype=torch.from_numpy(np.empty(0, data.dtype)).dtype, pin_memory=True)
        np.copyto(locked.numpy(), data)
    else:
        locked = data.pin_memory()
    return locked.to(device, non_blocking=True)


class OwnQueue:
    """A queue of a GPU for small work that is waited for, which the GPU does before that of its common queue: behind a
    learner's whole update every step of acting would wait for that to end. On a CPU, where there is none, no GPU that
    may be there is touched."""

    def __init__(self, device: torch.device) -> None:
        self._stream = torch.cuda.Stream(device, priority=-1) if device.type == "cuda" else None

    def __call__(self) -> AbstractContextManager[Any]:
        """What is done within is done there."""
        return nullcontext() if self._stream is None else torch.cuda.stream(self._stream)
