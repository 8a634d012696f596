"""The likelihood of a comparison, and what stands in for it in one ablation.

Maths only: torch and nothing of ours. Every function works over any leading axes, so that all members of an
ensemble are scored by one call: `returns` may be [batch, 2] or [members, batch, 2].
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def bradley_terry(returns: Tensor, mu: Tensor, reliability: Tensor | float = 0.95) -> Tensor:
    """Cross-entropy between what the labeler said and what the reward model expects.

    returns      [..., 2] undiscounted sums of predicted reward over clip 1 and clip 2
    mu           [..., 2] the label: (1,0), (0,1) or (.5,.5)
    reliability  [...] or one for all: r, the probability that this labeler's answer is right, in [0, 1]
    result       [...] loss in nats

    P[1 over 2] = softmax of the two returns, P' = r P + (1 - r)(1 - P), loss = -sum mu log P'. With r = 0.95 that is
    P' = 0.9 P + 0.05 (Christiano et al. 2017, section 2.2.3; Ibarz et al. 2018, appendix A): a share of 2 (1 - r) of
    the answers, the floor, is taken to be uniformly random. It bounds the loss by -log(1 - r), about 3 nats, so one
    wrong answer cannot pull the model without limit. r = 0.5 teaches nothing; below it the answer is read the other
    way round.

    The mixture is formed in log space: log P' = logaddexp(log(1 - floor) + log P, log(floor / 2)). A return
    difference of 1e6 gives a log P of -1e6 and still a finite loss and a finite gradient.
    """
    r = torch.as_tensor(reliability, dtype=torch.float64, device=returns.device)[..., None].expand(returns.shape)
    mu = torch.where(r < 0.5, mu.flip(-1), mu)
    wrong = torch.minimum(r, 1 - r)
    log_p = F.log_softmax(returns, dim=-1) + torch.log1p(-2 * wrong).to(returns.dtype)
    return -(mu * torch.logaddexp(log_p, wrong.log().to(returns.dtype))).sum(-1)


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
