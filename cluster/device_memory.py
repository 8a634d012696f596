"""What is said where a GPU's memory does not suffice: which part of the run found out, and which setting to lower.

Only a device refuses memory. Where the machine's own is short the kernel ends a process: see `cluster.supervise`.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from operator import attrgetter

from actors.failures import Failure
from cluster.config import RunConfig
from cluster.errors import is_out_of_device_memory

_GROWS_WITH = {
    "the policy update": ("ppo.minibatch", "rollout.num_envs", "rollout.steps"),
    "relabelling": ("rollout.num_envs", "rollout.steps"),
    "reward training": ("reward.batch_pairs",),
    "acting": ("rollout.num_envs",),
    "choosing what to ask": ("query.recent_clips", "query.candidates"),
}
"""Parts of a run that work on a GPU, and the settings that each one's memory grows with."""


class DeviceMemoryError(Failure, RuntimeError):
    """The GPU's memory is too small for a part of the run."""


@contextmanager
def device_memory(part: str, config: RunConfig) -> Generator[None]:
    """Around one of those parts. Raises DeviceMemoryError, which names the settings, in place of torch's error."""
    try:
        yield
    except RuntimeError as error:
        if not is_out_of_device_memory(error):
            raise
        names = [name for name in _GROWS_WITH[part] if not name.startswith("ppo.") or config.algorithm == "ppo"]
        lower = " or ".join(f"{name} (it is {attrgetter(name)(config)})" for name in names)
        device = "rollout.device" if part == "acting" else "loop.device"
        raise DeviceMemoryError(
            f"the GPU's memory is too small for {part}; lower {lower}: continue with --resume --set {names[0]}=..., or "
            f"with --resume --set {device}=cpu"
        ) from error
