"""The likelihood of a comparison, and what stands in for it in one ablation.

Maths only: torch and nothing of ours. Every function works over any leading axes, so that all members of an
ensemble are scored by one call: `returns` may be [batch, 2] or [members, batch, 2].
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def bradley_terry(returns: Tensor, mu: Tensor, error_floor: float = 0.1) -> Tensor:
    """Cross-entropy between what the labeler said and what the reward model expects.

    returns      [..., 2] undiscounted sums of predicted reward over clip 1 and clip 2
    mu           [..., 2] the label: (1,0), (0,1) or (.5,.5)
    error_floor  share of answers taken to be uniformly random, in [0, 1)
    result       [...] loss in nats

    P[1 over 2] = softmax of the two returns, P' = (1 - floor) P + floor / 2, loss = -sum mu log P'
    (Christiano et al. 2017, section 2.2.3; Ibarz et al. 2018, appendix A: P' = 0.9 P + 0.05). The floor bounds
    the loss by -log(floor / 2), about 3 nats, so one wrong answer cannot pull the model without limit.

    The mixture is formed in log space: log P' = logaddexp(log(1 - floor) + log P, log(floor / 2)). A return
    difference of 1e6 gives a log P of -1e6 and still a finite loss and a finite gradient.
    """
    log_p = F.log_softmax(returns, dim=-1)
    if error_floor > 0.0:
        guess = torch.full((), math.log(error_floor / 2), dtype=returns.dtype, device=returns.device)
        log_p = torch.logaddexp(log_p + math.log1p(-error_floor), guess)
    return -(mu * log_p).sum(-1)


def return_regression(returns: Tensor, true_returns: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Squared error against the clips' true returns: the ablation that asks for numbers instead of comparisons.

    returns, true_returns [..., 2]; mean, std: scalars over all stored true returns; result [...].
    True returns are brought to zero mean and unit deviation first, so that one learning rate suits every task
    (Christiano et al. 2017, section 3.3, "target").
    """
    target = (true_returns - mean) / std.clamp_min(1e-6)
    return (returns - target).square().mean(-1)


def accuracy(returns: Tensor, mu: Tensor) -> tuple[Tensor, Tensor]:
    """How often the model prefers what the labeler preferred; ties in the labels are left out.

    returns, mu [..., N, 2] -> (number right [...], number judged [...]), both float. Counts instead of a share
    because a sample of ties only has none. A model that cannot tell the two clips apart is right half the time.
    """
    said = mu[..., 0] - mu[..., 1]
    right = (said.sign() * (returns[..., 0] - returns[..., 1]).sign() + 1) / 2
    judged = said != 0
    return (right * judged).sum(-1), judged.sum(-1).to(returns.dtype)
