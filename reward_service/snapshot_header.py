"""The header of a snapshot: which version of which networks it is, for whoever reads it with torch or without."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import Any

from actors.failures import Failure
from actors.spaces import ActionSpec
from reward_service.ensemble_config import EnsembleConfig

FORMAT = "twoclips-reward-2"
_ENTRY = "twoclips"


class SnapshotError(Failure, ValueError):
    """These bytes are not a reward snapshot, or one of another ensemble."""


@dataclass(frozen=True, eq=False)
class SnapshotHeader:
    """version            reward_version, 1 for the first published
    num_labels         comparisons that it was fitted to
    metrics            the trainer's figures at that time; NaN where there was nothing to measure
    config, observation_shape, action_spec   what an ensemble must be to hold it
    num_observed       agent steps of which observations have the mean and deviation that inputs are normalised with; 0:
                       they are the labelled clips'
    """

    version: int
    num_labels: int
    metrics: dict[str, float]
    config: EnsembleConfig
    observation_shape: tuple[int, ...]
    action_spec: ActionSpec
    num_observed: int

    def metadata(self) -> dict[str, str]:
        """What stands in the safetensors file beside its tensors."""
        header = {
            "format": FORMAT,
            "version": self.version,
            "num_labels": self.num_labels,
            "metrics": {name: value if math.isfinite(value) else None for name, value in self.metrics.items()},
            "config": asdict(self.config),
            "observation_shape": self.observation_shape,
            "action_spec": asdict(self.action_spec),
            "num_observed": self.num_observed,
        }
        # One entry: safetensors writes several in an order that changes from call to call, and the same model should
        # give the same bytes. Infinite bounds of an action space become Infinity, which Python's JSON reads back.
        return {_ENTRY: json.dumps(header)}


def read_header(payload: bytes) -> SnapshotHeader:
    """The header of a snapshot's bytes. Raises SnapshotError."""
    header = _entry(payload)
    if header.get("format") != FORMAT:
        raise SnapshotError(
            f"this reward snapshot cannot be read here: its format is {header.get('format', 'not stated')!r}, "
            f"expected {FORMAT!r}; use the twoclips that wrote it"
        )
    try:
        spec, config = header["action_spec"], header["config"]
        networks: dict[str, Any] = {**config, "hidden": tuple(config["hidden"])}
        actions: dict[str, Any] = {**spec, "low": tuple(spec["low"]), "high": tuple(spec["high"])}
        return SnapshotHeader(
            version=int(header["version"]),
            num_labels=int(header["num_labels"]),
            metrics={name: math.nan if v is None else float(v) for name, v in header["metrics"].items()},
            config=EnsembleConfig(**networks),
            observation_shape=tuple(header["observation_shape"]),
            action_spec=ActionSpec(**actions),
            num_observed=int(header["num_observed"]),
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise damaged(error) from error


def damaged(error: Exception) -> SnapshotError:
    """What to raise where a part of a snapshot cannot be read."""
    return SnapshotError(f"this reward snapshot is damaged ({error}); publish a new one by letting the run train on")


def _entry(payload: bytes) -> dict[str, Any]:
    """Our entry in a safetensors header: 8 bytes of little-endian length, then JSON (the format's own specification;
    the library reads it from files only)."""
    try:
        length = int.from_bytes(payload[:8], "little")
        header = json.loads(json.loads(payload[8 : 8 + length])["__metadata__"][_ENTRY])
    except (ValueError, KeyError, TypeError) as error:
        raise SnapshotError(
            "these bytes are not a reward snapshot: they do not begin with the header of one"
        ) from error
    if not isinstance(header, dict):
        raise SnapshotError("these bytes are not a reward snapshot: their header is not one")
    return header
