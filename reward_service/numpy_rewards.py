"""NumpyRewards: what a snapshot's reward model pays, without torch, for a server that shows it to people.

    rewards = NumpyRewards.from_bytes(payload).pay(segment.observations, segment.actions)

`RewardEnsemble` says what is computed and why; this is the same forward pass, for reading only.
"""

from __future__ import annotations

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays

from actors.frames import is_stack
from reward_service.ensemble_config import EPSILON, OBSERVATION_CLIP, TORSOS, pooled
from reward_service.snapshot_header import SnapshotError, SnapshotHeader, damaged, read_header


class NumpyRewards:
    """One snapshot's ensemble. `header` says which."""

    def __init__(self, header: SnapshotHeader, arrays: dict[str, np.ndarray]) -> None:
        self.header = header
        self._arrays = arrays
        layers = range(len(header.config.hidden) + 1)
        self._layers = [(arrays[f"weights.{layer}"], arrays[f"biases.{layer}"]) for layer in layers]

    @classmethod
    def from_bytes(cls, payload: bytes) -> NumpyRewards:
        """Raises SnapshotError."""
        header = read_header(payload)
        try:
            return cls(header, load_arrays(payload))
        except (SafetensorError, KeyError, ValueError) as error:
            raise damaged(error) from error

    def pay(self, observations: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """The reward that the agent is paid, float32 [L]: observations [L, *O] raw, actions [L, *A] as executed.
        Raises SnapshotError for those of another task."""
        header, arrays = self.header, self._arrays
        if observations.shape[1:] != header.observation_shape or actions.shape[1:] != header.action_spec.shape:
            raise SnapshotError(
                f"reward snapshot {header.version} is of a task with observations {header.observation_shape} and "
                f"actions {header.action_spec.shape}; give it steps of that task"
            )
        looks = is_stack(header.observation_shape)
        hidden = self._look(observations) if looks else self._features(observations, actions)  # [(E,) L, F]
        for weight, bias in self._layers[:-1]:
            hidden = hidden @ weight + bias
            hidden = np.where(hidden > 0, hidden, header.config.leaky_slope * hidden)
        weight, bias = self._layers[-1]
        members = (hidden @ weight + bias)[..., 0]
        standard = (members - arrays["member_mean"][:, None]) / arrays["member_std"][:, None]
        return (standard.mean(0) - arrays["output_mean"]) * (arrays["reward_std"] / arrays["output_std"])

    def _look(self, stacks: np.ndarray) -> np.ndarray:
        """[E, L, F] of stacks of pictures [L, K, H, W]: `PictureTorsos` with the running statistics."""
        torso, members = TORSOS[self.header.config.torso], self.header.config.members
        seen = pooled(stacks, torso.pool).astype(np.float32) / 255
        hidden = np.broadcast_to(seen, (members, *seen.shape))
        for layer, (kernel, stride) in enumerate(torso.convolutions):
            windows = np.lib.stride_tricks.sliding_window_view(hidden, (kernel, kernel), axis=(-2, -1))
            weight = self._arrays[f"torsos.weights.{layer}"].reshape(members, torso.channels, -1, kernel, kernel)
            hidden = np.einsum("elchwij,eocij->elohw", windows[..., ::stride, ::stride, :, :], weight, optimize=True)
            mean, variance, scale, shift = (
                self._arrays[f"torsos.{name}"].reshape(members, 1, -1, 1, 1)
                for name in (f"mean{layer}", f"variance{layer}", f"scales.{layer}", f"shifts.{layer}")
            )
            hidden = (hidden - mean) / np.sqrt(variance + EPSILON) * scale + shift
            hidden = np.where(hidden > 0, hidden, self.header.config.leaky_slope * hidden)
        return hidden.reshape(members, len(stacks), -1)

    def _features(self, observations: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """[L, F]: normalised observations, then the action's coordinates or its one-hot choice."""
        flat = observations.reshape(len(observations), -1).astype(np.float32)
        flat = (flat - self._arrays["observation_mean"]) / self._arrays["observation_std"]
        spec = self.header.action_spec
        chosen = np.eye(spec.num_choices)[actions] if spec.discrete else actions
        return np.concatenate([flat.clip(-OBSERVATION_CLIP, OBSERVATION_CLIP), chosen.astype(np.float32)], axis=-1)
