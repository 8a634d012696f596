"""Relabelling pictures: pooled first and stacked then, it is what a network that was shown whole stacks would say."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from actors.spaces import ActionSpec
from actors.trajectory import Rollout
from learners.relabel import Relabeler
from reward_service import picture_torsos
from reward_service.ensemble import RewardEnsemble
from reward_service.ensemble_config import EnsembleConfig, Torso
from reward_service.snapshot import NothingPublished, SnapshotReader

SPEC, DEPTH, STEPS, ENVS = ActionSpec(0, 6), 4, 5, 3


def rollout() -> Rollout:
    random = np.random.default_rng(0)
    return Rollout(
        observations=random.integers(0, 256, (DEPTH + STEPS, ENVS, 84, 84), dtype=np.uint8),
        actions=np.zeros((STEPS, ENVS), np.int64),
        log_probs=np.zeros((STEPS, ENVS), np.float32),
        terminated=np.zeros((STEPS, ENVS), bool),
        truncated=np.zeros((STEPS, ENVS), bool),
        ends=np.zeros((0, 2), np.int64),
        final_observations=np.zeros((0, 84, 84), np.uint8),
        policy_version=0,
        worker=0,
        first_step=0,
    )


@pytest.mark.parametrize("torso", ["small", "paper"])
@pytest.mark.parametrize("at_once", [4, 4096])
def test_it_is_the_reward_of_each_whole_stack(torso: Torso, at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture_torsos, "_AT_ONCE", at_once)
    seen, shape = rollout(), (DEPTH, 84, 84)
    ensemble = RewardEnsemble(EnsembleConfig(torso=torso), shape, SPEC, generator=torch.Generator().manual_seed(0))
    paid, raw = Relabeler(SnapshotReader(NothingPublished(), ensemble), SPEC).relabel(seen)
    for step in range(STEPS):
        for env in range(ENVS):
            stack = torch.from_numpy(np.ascontiguousarray(seen.observations[step : step + DEPTH, env]))[None]
            with torch.no_grad():
                members = ensemble.member_rewards(stack, torch.zeros(1, dtype=torch.int64))
            assert raw[step, env] == pytest.approx(members.mean().item(), rel=1e-4, abs=1e-5)
            assert paid[step, env] == pytest.approx(ensemble.pay(members).item(), rel=1e-4, abs=1e-5)
    assert raw.std() > 1e-4, "stacks differ, and so does what they are worth"
