"""Adam (Kingma and Ba 2015, algorithm 1) by torch's own fused kernel: for policies and reward models alike.

Why not `torch.optim.Adam`? The first one in a process imports torch's compiler, which takes a second of its core: the
driver and the reward service of each run would wait for it before the first rollout, though neither compiles anything.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.optim.adam import adam


class Adam:
    """Of parameters whose `.grad` is there before each step. Averages decay by 0.9, those of squares by 0.999."""

    def __init__(self, parameters: Iterable[nn.Parameter], epsilon: float = 1e-8) -> None:
        self._parameters, self._epsilon = list(parameters), epsilon
        self._averages = [torch.zeros_like(parameter, requires_grad=False) for parameter in self._parameters]
        self._squares = [torch.zeros_like(parameter, requires_grad=False) for parameter in self._parameters]
        # where the kernel reads it: a count on the host would be sent there in each step
        self._steps = [torch.zeros((), device=parameter.device) for parameter in self._parameters]

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        gradients = [parameter.grad for parameter in self._parameters if parameter.grad is not None]
        assert len(gradients) == len(self._parameters)
        adam(
            list(self._parameters),
            gradients,
            self._averages,
            self._squares,
            [],
            self._steps,
            fused=True,
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=learning_rate,
            weight_decay=0.0,
            eps=self._epsilon,
            maximize=False,
        )

    def state_dict(self) -> dict[str, list[Tensor]]:
        return {"averages": self._averages, "squares": self._squares, "steps": self._steps}

    def load_state_dict(self, state: dict[str, list[Tensor]]) -> None:
        for name, mine in self.state_dict().items():
            for tensor, saved in zip(mine, state[name], strict=True):
                tensor.copy_(saved)
