from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save

from actors.spaces import ActionSpec
from reward_service.ensemble import EnsembleConfig, RewardEnsemble
from reward_service.snapshot import RewardSnapshot, SnapshotError, SnapshotReader
from tests.one_snapshot import OneSnapshot

SPEC = ActionSpec(2, 0, (-1.0, -math.inf), (1.0, math.inf))


def make(seed: int = 0, **changed: object) -> RewardEnsemble:
    config = EnsembleConfig(hidden=(8, 4))
    built = {"config": config, "observation_shape": (3,), "action_spec": SPEC, **changed}
    return RewardEnsemble(**built, generator=torch.Generator().manual_seed(seed))  # pyright: ignore[reportArgumentType]


def test_the_same_model_gives_the_same_bytes() -> None:
    ensemble = make()
    assert len({RewardSnapshot.capture(ensemble, 1).to_bytes() for _ in range(20)}) == 1


def test_bytes_round_trip_bit_for_bit() -> None:
    ensemble = make()
    observations, actions = torch.randn(50, 3), torch.rand(50, 2)
    ensemble.set_input_statistics(observations.mean(0), observations.std(0))
    ensemble.set_output_statistics(observations, actions)
    figures = {"train_loss": 0.25, "validation_loss": math.nan}
    sent = RewardSnapshot.capture(ensemble, 7, num_labels=12, metrics=figures, num_observed=50)
    read = RewardSnapshot.from_bytes(sent.to_bytes())
    assert (read.version, read.num_labels, read.metrics["train_loss"], read.num_observed) == (7, 12, 0.25, 50)
    assert math.isnan(read.metrics["validation_loss"])
    assert (read.config, read.observation_shape, read.action_spec) == (ensemble.config, (3,), SPEC)
    with torch.no_grad():
        assert torch.equal(read.build()(observations, actions), ensemble(observations, actions))


def test_a_captured_snapshot_does_not_follow_the_ensemble() -> None:
    ensemble = make()
    snapshot = RewardSnapshot.capture(ensemble, 1)
    before = snapshot.tensors["weights.0"].clone()
    with torch.no_grad():
        ensemble.weights[0].add_(1.0)
    assert torch.equal(snapshot.tensors["weights.0"], before)


@pytest.mark.parametrize(
    "other",
    [
        {"config": EnsembleConfig(members=1, hidden=(8, 4))},
        {"observation_shape": (4,)},
        {"action_spec": ActionSpec(0, 2)},
    ],
    ids=["config", "observations", "actions"],
)
def test_a_foreign_snapshot_is_refused_and_changes_nothing(other: dict[str, object]) -> None:
    snapshot, ensemble = RewardSnapshot.capture(make(seed=1), 3), make(seed=2, **other)
    before = ensemble.weights[0].clone()
    with pytest.raises(SnapshotError, match=r"reward snapshot 3 was made for .* this run has"):
        snapshot.load_into(ensemble)
    assert torch.equal(ensemble.weights[0], before)


def test_damaged_bytes_are_refused() -> None:
    good = RewardSnapshot.capture(make(), 1).to_bytes()
    for bad in (b"", b"no", b"\x00" * 64, good[:100], good[: len(good) // 2], good[:-5], save({"a": torch.zeros(1)})):
        with pytest.raises(SnapshotError):
            RewardSnapshot.from_bytes(bad)
    with pytest.raises(SnapshotError, match="its format is 'future'"):
        RewardSnapshot.from_bytes(save({"a": torch.zeros(1)}, metadata={"twoclips": '{"format": "future"}'}))


def test_values_that_are_not_finite_and_missing_arrays_are_refused() -> None:
    snapshot = RewardSnapshot.capture(make(), 1)
    poisoned = replace(snapshot, tensors={**snapshot.tensors, "member_mean": torch.full((3,), math.nan)})
    with pytest.raises(SnapshotError, match="not finite"):
        poisoned.load_into(make())
    lacking = replace(snapshot, tensors={k: v for k, v in snapshot.tensors.items() if k != "member_mean"})
    with pytest.raises(SnapshotError, match="do not fit its own header"):
        lacking.load_into(make())


def test_the_reader_takes_only_what_is_newer() -> None:
    database, ensemble = OneSnapshot(), make(seed=5)
    reader = SnapshotReader(database, ensemble)
    assert not reader.refresh()  # nothing published yet: returns at once, version 0
    assert (reader.version, database.reads) == (0, 0)
    published = make(seed=6)
    database.newest = (4, RewardSnapshot.capture(published, 4, 20, {"l2": 0.5}).to_bytes())
    assert reader.refresh()
    assert (reader.version, reader.metrics) == (4, {"l2": 0.5})
    assert torch.equal(ensemble.weights[0], published.weights[0])
    assert not reader.refresh()
    assert database.reads == 1
