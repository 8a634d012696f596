"""With which mean and deviation an agent is paid, while weights and behaviour change."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from actors.spaces import ActionSpec
from reward_service.dataset import ComparisonDataset, DatasetSpec
from reward_service.ensemble import EnsembleConfig, RewardEnsemble
from reward_service.normalisation import Kind, Normalisation
from reward_service.recent import RecentSteps

SPEC, WIDTH, STEPS = ActionSpec(1, 0, (-1.0,), (1.0,)), 3, 64
NO_LABELS = ComparisonDataset(DatasetSpec(2, 0, 4, (WIDTH,), SPEC))


class Service:
    """An ensemble that is shown an agent and publishes."""

    def __init__(self, kind: Kind, members: int = 2) -> None:
        generator = torch.Generator().manual_seed(0)
        config = EnsembleConfig(members=members, hidden=(8,))
        self.ensemble = RewardEnsemble(config, (WIDTH,), SPEC, reward_std=0.5, generator=generator)
        self.recent = RecentSteps(STEPS, (WIDTH,), SPEC)
        self.normalisation = Normalisation(self.ensemble, self.recent, kind)

    def sees(self, around: float, spread: float = 1.0, seed: int = 0) -> tuple[Tensor, Tensor]:
        random = torch.Generator().manual_seed(seed)
        seen = around + spread * torch.randn(STEPS, WIDTH, generator=random), torch.rand(STEPS, 1, generator=random)
        self.recent.observe(*seen)
        return seen

    def publishes(self) -> None:
        self.normalisation.of_inputs(NO_LABELS)
        self.normalisation.of_outputs(NO_LABELS)
        self.normalisation.published()

    def learns(self, seed: int = 1) -> None:
        random = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in self.ensemble.parameters():
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=random))

    @torch.no_grad()
    def pays(self, seen: tuple[Tensor, Tensor]) -> Tensor:
        return self.ensemble(*seen)


@pytest.mark.parametrize("kind", ["anchored", "recent"])
def test_the_first_snapshot_has_zero_mean_and_the_deviation_that_was_asked_for(kind: Kind) -> None:
    service = Service(kind)
    seen = service.sees(5.0)
    service.publishes()
    assert service.pays(seen).mean().item() == pytest.approx(0, abs=1e-5)
    assert service.pays(seen).std(correction=0).item() == pytest.approx(0.5, rel=1e-4)


def test_each_later_one_pays_for_recent_steps_what_the_one_before_it_paid() -> None:
    service = Service("anchored")
    service.sees(0.0)
    service.publishes()
    for round_ in range(1, 4):
        seen = service.sees(1.5 * round_, spread=2.0, seed=round_)
        before = service.pays(seen)
        assert abs(before.mean()) > 0.05, "it is not at zero by itself"
        service.learns(seed=round_)
        service.publishes()
        now = service.pays(seen)
        assert (now - before).abs().max() > 0.1, "it has learned something"
        assert now.mean().item() == pytest.approx(before.mean().item(), abs=1e-4)
        assert now.std().item() == pytest.approx(before.std().item(), rel=1e-3)


@pytest.mark.parametrize(("kind", "same"), [("anchored", True), ("recent", False)])
def test_what_a_state_pays_depends_on_the_policy_only_where_it_is_asked_to(kind: Kind, same: bool) -> None:
    """The weights stay as they are, and with them what comparisons say. Of one member: with more, how much each counts
    follows the spread that it has over recent steps."""
    service = Service(kind, members=1)
    seen = service.sees(0.0)
    service.ensemble.set_input_statistics(torch.zeros(WIDTH), torch.ones(WIDTH))
    service.normalisation.of_outputs(NO_LABELS)
    service.normalisation.published()
    before = service.pays(seen)
    service.sees(2.0, spread=3.0, seed=1)
    service.normalisation.of_outputs(NO_LABELS)
    assert torch.allclose(service.pays(seen), before, atol=1e-4) is same


@pytest.mark.parametrize("spread", [0.0, 1e-6, 1e-4])
def test_an_agent_that_does_always_the_same_gives_the_reward_no_new_scale(spread: float) -> None:
    """By steps that are paid nearly alike a scale would be measured on noise, and blow up what other steps pay."""
    service = Service("anchored")
    wide = service.sees(0.0)
    service.publishes()
    before = service.pays(wide).std()
    random = torch.Generator().manual_seed(1)
    for _ in range(3):
        seen = 0.5 + spread * torch.randn(STEPS, WIDTH, generator=random), torch.zeros(STEPS, 1)
        service.recent.observe(*seen)
        paid = service.pays(seen).mean()
        with torch.no_grad():
            for parameter in service.ensemble.parameters():
                parameter.add_(1e-3 * torch.randn(parameter.shape, generator=random))
        service.normalisation.of_outputs(NO_LABELS)
        service.normalisation.published()
        assert service.pays(seen).mean().item() == pytest.approx(paid.item(), abs=1e-3), "the mean goes on"
    assert service.pays(wide).std().item() == pytest.approx(before.item(), rel=0.05)


def test_a_resumed_one_goes_on_paying_as_if_never_stopped() -> None:
    service, resumed = Service("anchored"), Service("anchored")
    service.sees(0.0)
    service.publishes()
    resumed.ensemble.load_state_dict(service.ensemble.state_dict())
    resumed.recent.load_state_dict(service.recent.state_dict())
    resumed.normalisation.load_state_dict(service.normalisation.state_dict())
    for each in (service, resumed):
        seen = each.sees(3.0, seed=1)
        each.learns()
        each.publishes()
    assert torch.equal(service.pays(seen), resumed.pays(seen))
    assert abs(service.pays(seen).mean()) > 0.05
