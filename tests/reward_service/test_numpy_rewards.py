"""Without torch the same model pays the same."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.spaces import ActionSpec
from reward_service.ensemble import EnsembleConfig, RewardEnsemble
from reward_service.numpy_rewards import NumpyRewards
from reward_service.snapshot import RewardSnapshot
from reward_service.snapshot_header import SnapshotError

BOX = ActionSpec(size=2, num_choices=0, low=(-1.0, -np.inf), high=(1.0, np.inf))
DISCRETE = ActionSpec(size=0, num_choices=3)


def trained(spec: ActionSpec, members: int, hidden: tuple[int, ...], seed: int) -> RewardEnsemble:
    """An ensemble with statistics that are not the identity."""
    generator = torch.Generator().manual_seed(seed)
    ensemble = RewardEnsemble(
        EnsembleConfig(members, hidden, leaky_slope=0.03), (5,), spec, reward_std=0.7, generator=generator
    )
    observations, actions = steps(spec, 200, seed)
    ensemble.set_input_statistics(torch.arange(5.0), torch.tensor([0.5, 1.0, 3.0, 0.0, 2.0]))
    ensemble.set_output_statistics(torch.from_numpy(observations), torch.from_numpy(actions))
    return ensemble


def steps(spec: ActionSpec, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    observations = (10 * random.normal(size=(count, 5))).astype(np.float32)
    if spec.discrete:
        return observations, random.integers(0, spec.num_choices, count)
    return observations, random.normal(size=(count, 2)).astype(np.float32)


@settings(max_examples=30)
@given(
    spec=st.sampled_from([BOX, DISCRETE]),
    members=st.integers(1, 4),
    hidden=st.lists(st.integers(1, 9), min_size=1, max_size=3).map(tuple),
    seed=st.integers(0, 1000),
)
def test_it_pays_what_the_ensemble_pays(spec: ActionSpec, members: int, hidden: tuple[int, ...], seed: int) -> None:
    ensemble = trained(spec, members, hidden, seed)
    rewards = NumpyRewards.from_bytes(RewardSnapshot.capture(ensemble, 3, num_labels=8).to_bytes())
    observations, actions = steps(spec, 25, seed + 1)
    with torch.no_grad():
        expected = ensemble(torch.from_numpy(observations), torch.from_numpy(actions)).numpy()
    paid = rewards.pay(observations, actions)
    assert paid.shape == (25,)
    np.testing.assert_allclose(paid, expected, rtol=1e-4, atol=1e-4)
    assert (rewards.header.version, rewards.header.num_labels) == (3, 8)


def test_steps_of_another_task_are_refused() -> None:
    payload = RewardSnapshot.capture(trained(BOX, 2, (4,), 0), 1).to_bytes()
    observations, actions = steps(BOX, 3, 0)
    rewards = NumpyRewards.from_bytes(payload)
    for wrong in ((observations[:, :4], actions), (observations, actions[:, :1])):
        with pytest.raises(SnapshotError, match="of that task"):
            rewards.pay(*wrong)


@pytest.mark.parametrize("cut", [0, 7, 40, -4])
def test_damaged_bytes_are_refused(cut: int) -> None:
    payload = RewardSnapshot.capture(trained(BOX, 1, (4,), 0), 1).to_bytes()
    with pytest.raises(SnapshotError):
        NumpyRewards.from_bytes(payload[:cut])


def test_it_needs_no_torch() -> None:
    code = "import sys, reward_service.numpy_rewards; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
