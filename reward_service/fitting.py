"""EnsembleFit: one gradient step for all members at once, and the adaptive L2 that keeps each from memorising.

It knows batches and weights, no database and no clock; trainer.py decides when it runs and who hears of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from actors.adam import Adam
from actors.devices import to_device
from actors.failures import Failure
from actors.limits import within
from reward_service.dataset import ComparisonDataset
from reward_service.ensemble import RewardEnsemble
from reward_service.losses import accuracy, bradley_terry, return_regression

MEASURE_EVERY = 10
"""Gradient steps between two measurements of validation loss, each on one batch a member: 3 % of the cost."""

_AT_ONCE = 256  # comparisons a member scores in one go: bounds memory, not the result
_SMOOTHING = 0.1  # weight of a new measurement: about 20 batches are remembered, so a ratio is not one batch's luck
_L2_LIMITS = (1e-7, 1.0)  # a coefficient that falls without limit would need as many steps to come back


class RewardTrainingError(Failure, RuntimeError):
    """The reward model can no longer be trained as it is."""


@dataclass(frozen=True)
class FitConfig:
    """batch_pairs     comparisons a member sees in one gradient step (Ibarz et al. 2018: 16)
    learning_rate   of Adam (Ibarz et al. 2018: 3e-4)
    error_floor     share of answers taken to be random (paper: 0.1), of a labeler of whom nothing else is known
    l2_initial, l2_rate, ratio_low, ratio_high
                    a member's L2 coefficient starts at l2_initial; a step multiplies it by l2_rate while validation
                    loss is above ratio_high times training loss, divides it below ratio_low (Ibarz et al. 2018)
    regularise      False: no L2, no penalty (an ablation of the paper)
    squared_reward_penalty  weight of the mean squared raw reward in the loss
    target          "comparisons", or "returns": regression on the clips' true returns (an ablation of the paper)
    """

    batch_pairs: int = 32
    learning_rate: float = 3e-4
    error_floor: float = 0.1
    l2_initial: float = 1e-4
    l2_rate: float = 1.001
    ratio_low: float = 1.1
    ratio_high: float = 1.5
    regularise: bool = True
    squared_reward_penalty: float = 0.0
    target: Literal["comparisons", "returns"] = "comparisons"

    def __post_init__(self) -> None:
        within(self, batch_pairs="[1, inf)", learning_rate="(0, inf)", error_floor="[0, 1)")
        within(self, l2_initial="[0, inf)", l2_rate="[1, inf)", ratio_low="(0, inf)", ratio_high="(0, inf)")
        within(self, squared_reward_penalty="[0, inf)")
        if self.ratio_low > self.ratio_high:
            raise ValueError(f"ratio_low ({self.ratio_low}) must not be above ratio_high ({self.ratio_high})")
        if self.target not in ("comparisons", "returns"):
            raise ValueError(f"the target of reward training is 'comparisons' or 'returns', not {self.target!r}")

    @property
    def error_rate(self) -> float:
        """Share of wrong answers that the floor stands for: a random one is right half the time."""
        return self.error_floor / 2


class EnsembleFit:
    """The optimiser's side of a RewardEnsemble. Draws come from `generator`, on the CPU whatever the device."""

    def __init__(self, config: FitConfig, ensemble: RewardEnsemble, generator: torch.Generator) -> None:
        self.config, self.ensemble, self._generator = config, ensemble, generator
        self._optimiser = Adam(ensemble.parameters())
        self._device = ensemble.observation_mean.device
        members = ensemble.config.members
        self.gradient_steps = 0
        self.l2 = torch.full((members,), config.l2_initial if config.regularise else 0.0, device=self._device)
        # [4, E]: train loss, validation loss, train accuracy, validation accuracy; NaN: never measured
        self._measured = torch.full((4, members), torch.nan, device=self._device)

    def gradient_step(self, dataset: ComparisonDataset) -> None:
        """One Adam step on `batch_pairs` comparisons a member: the sum of the members' losses, so each gets just
        its own gradient. Members with nothing to train on do not move. Raises RewardTrainingError on a NaN loss."""
        config = self.config
        rows = dataset.train_batch(self._generator, config.batch_pairs)
        trainable = dataset.trainable.to(self._device)
        rewards, loss, right = self.evaluate(dataset, rows, noise=self._generator)
        objective = loss
        if config.regularise and config.squared_reward_penalty > 0.0:
            objective = loss + config.squared_reward_penalty * rewards.square().flatten(1).mean(1)
        total = torch.where(trainable, objective, 0.0).sum()
        if not bool(torch.isfinite(total)):
            raise RewardTrainingError(
                f"the reward model's loss is no longer finite at gradient step {self.gradient_steps} "
                f"(target {config.target}); resume from the last checkpoint with a lower reward learning rate"
            )
        if self.gradient_steps % MEASURE_EVERY == 0:
            self._measure(dataset, loss.detach(), right)
        self.ensemble.zero_grad(set_to_none=True)
        total.backward()
        if config.regularise:
            self._add_l2(trainable)
        self._optimiser.step(config.learning_rate)
        self.gradient_steps += 1

    def evaluate(
        self, dataset: ComparisonDataset, rows: Tensor, noise: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """rows [E, batch], each member its own -> raw rewards [E, batch, 2, L], loss [E], accuracy [E] (NaN if all
        labels are ties)."""
        members, batch = rows.shape
        picked = rows.flatten()
        mu = dataset.mu.index_select(0, picked).view(members, batch, 2).to(self._device)
        rewards = self._rewards(dataset, rows, noise)
        returns = rewards.sum(-1)
        if self.config.target == "returns":
            std, mean = torch.std_mean(dataset.true_returns, correction=0)
            true_returns = dataset.true_returns.index_select(0, picked).view(members, batch, 2)
            target = [part.to(self._device, returns.dtype) for part in (true_returns, mean, std)]
            loss = return_regression(returns, *target)
        else:
            reliability = dataset.reliability.index_select(0, picked).view(members, batch)
            loss = bradley_terry(returns, mu, reliability)
        right, judged = accuracy(returns.detach(), mu)
        return rewards, loss.mean(1), right / judged

    @torch.no_grad()
    def held_out_differences(self, dataset: ComparisonDataset) -> Tensor:
        """[N] float64: predicted return of the left clip less that of the right, mean over the members that hold the
        comparison out; NaN where none does. What a member trained on it would only repeat."""
        held = dataset.validation_mask  # [E, N]
        rows = held.to(torch.int8).argsort(dim=1, descending=True, stable=True)[:, : int(held.sum(1).max())]
        total, judges = torch.zeros(2, len(dataset), dtype=torch.float64)
        at_once = self.config.batch_pairs if self.ensemble.sees_pictures else _AT_ONCE
        for part in rows.split(at_once, dim=1):
            returns = self._rewards(dataset, part).sum(-1)
            difference = (returns[..., 0] - returns[..., 1]).double().cpu()
            valid = held.gather(1, part)
            total.index_add_(0, part[valid], difference[valid])
            judges.index_add_(0, part[valid], torch.ones_like(difference[valid]))
        return total / torch.where(judges > 0, judges, torch.nan)

    def _rewards(self, dataset: ComparisonDataset, rows: Tensor, noise: torch.Generator | None = None) -> Tensor:
        """Raw rewards [E, batch, 2, L] of rows [E, batch], each member its own."""
        picked = rows.flatten()
        observations = dataset.stacks(to_device(dataset.observations.index_select(0, picked), self._device))
        actions = to_device(dataset.actions.index_select(0, picked), self._device)
        features = self.ensemble.features(observations, actions, noise)
        rewards = self.ensemble.score(features.view(len(rows), -1, *self.ensemble.feature_shape), noise)
        return rewards.view(*rows.shape, 2, dataset.spec.clip_steps)

    def metrics(self) -> dict[str, float]:
        """Means over members of the smoothed measurements; NaN where nothing could be measured yet."""
        names = ("train_loss", "validation_loss", "train_accuracy", "validation_accuracy")
        means = self._measured.nanmean(1).tolist()
        return dict(zip(names, means, strict=True)) | {"l2": self.l2.mean().item()}

    def state_dict(self) -> dict[str, Any]:
        return {
            "optimiser": self._optimiser.state_dict(),
            "gradient_steps": self.gradient_steps,
            "l2": self.l2.clone(),
            "measured": self._measured.clone(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._optimiser.load_state_dict(state["optimiser"])
        self.gradient_steps = state["gradient_steps"]
        self.l2.copy_(state["l2"])
        self._measured.copy_(state["measured"])

    @torch.no_grad()
    def _measure(self, dataset: ComparisonDataset, train_loss: Tensor, train_right: Tensor) -> None:
        """Validation loss with the weights that gave `train_loss`, and the L2 that follows from both."""
        rows = dataset.validation_batch(self._generator, self.config.batch_pairs)
        _, held_out_loss, held_out_right = self.evaluate(dataset, rows)
        now = torch.stack((train_loss, held_out_loss, train_right, held_out_right))
        trainable, measurable = dataset.trainable.to(self._device), dataset.measurable.to(self._device)
        now = torch.where(torch.stack((trainable, measurable, trainable, measurable)), now, torch.nan)
        smoothed = torch.lerp(self._measured, now, _SMOOTHING)
        smoothed = torch.where(self._measured.isnan(), now, smoothed)
        self._measured = torch.where(now.isnan(), self._measured, smoothed)
        if self.config.regularise:
            self.l2 = adapted_l2(
                self.l2, self._measured[1] / self._measured[0], self.config.ratio_low, self.config.ratio_high,
                self.config.l2_rate**MEASURE_EVERY,
            )  # fmt: skip

    def _add_l2(self, trainable: Tensor) -> None:
        """The gradient of l2 * |weights|^2, biases left free. Added here because Adam's own weight decay has one
        coefficient for all members."""
        factor = (2 * self.l2 * trainable).view(-1, 1, 1)
        for weight in self.ensemble.all_weights:
            assert weight.grad is not None
            members = len(factor), -1, weight.shape[-1]  # a convolution has its members' channels side by side
            weight.grad.view(members).addcmul_(weight.detach().view(members), factor)


def adapted_l2(l2: Tensor, ratio: Tensor, low: float, high: float, factor: float) -> Tensor:
    """L2 coefficients [E] after one measurement: times `factor` where validation loss / training loss is above
    `high` (it memorises), divided below `low` (it could learn more), else and where unmeasured (NaN) unchanged."""
    changed = torch.where(ratio > high, l2 * factor, torch.where(ratio < low, l2 / factor, l2))
    return changed.clamp(*_L2_LIMITS)
