"""What a minibatch of PPO from pictures takes as it is, with a compiled torso, and as a graph of a GPU's.

    python -m tests.learners.captured [--device cuda] [--size 4096] [--precision bfloat16]

In turns, so that other work on the machine falls on all. Not a test: whether one of them should be is for
ARCHITECTURE.md to judge, by what a GPU says here. All give the same gradient, or it ends. Adam's step is left out:
a graph takes it with other settings only.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from statistics import median
from time import perf_counter

import torch
from torch import Tensor

from actors.policy import ActorCritic, PolicyConfig
from actors.spaces import ActionSpec
from learners.algorithm import Batch
from learners.ppo import PPO, PPOConfig
from learners.stacks import Stacks
from tests.on_device import options, wait_for

TURNS, TIMES = 9, 5


def some_batch(size: int, device: torch.device) -> Batch:
    """Of random pictures, as of a run's shuffled minibatch."""
    generator = torch.Generator().manual_seed(0)
    shown = torch.randint(0, 256, (size + 3, 1, 84, 84), dtype=torch.uint8, generator=generator)
    order = torch.randperm(size, generator=generator)
    numbers = [torch.randn(size, generator=generator).to(device) for _ in range(4)]
    actions = torch.randint(0, 6, (size,), generator=generator).to(device)
    seen = Stacks.of_block(shown.to(device), 4, size).index_select(0, order.to(device))
    return Batch(seen, actions, numbers[0].abs().neg() - 1, *numbers[1:])


def gradient_of(policy: ActorCritic, batch: Batch) -> tuple[Callable[[], None], Tensor]:
    """Computes it anew, and where it is."""
    ppo = PPO(PPOConfig(), policy, 0)

    def compute() -> None:
        ppo._gradient.compute(batch, lambda log_probs: ppo._surrogate_gradient(batch, log_probs))
        ppo._gradient.parameters.clip_gradient(0.5)

    return compute, ppo._gradient.parameters.gradient


def captured(compute: Callable[[], None]) -> Callable[[], None]:
    """The same as a graph, begun by one call. What is set up once is set up before, on another stream."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            compute()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        compute()
    return graph.replay


@torch.no_grad()
def main(device: torch.device, size: int, precision: torch.dtype) -> None:
    torch.manual_seed(0)
    policy = ActorCritic(PolicyConfig(torso="mnih-2015"), (4, 84, 84), ActionSpec(0, 6)).to(device)
    policy.precision = precision
    compiled = copy.deepcopy(policy)
    batch = some_batch(size, device)
    ways = {"as it is": gradient_of(policy, batch), "compiled": gradient_of(compiled, batch)}
    compiled.torso.compile()
    if device.type == "cuda":
        compute, gradient = gradient_of(copy.deepcopy(policy), batch)
        ways["captured"] = captured(compute), gradient
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(TURNS + 1):
        for name, (compute, _) in ways.items():
            wait_for(device)
            begin = perf_counter()
            for _ in range(TIMES):
                compute()
            wait_for(device)
            if turn:  # the first sets up what is set up once
                taken[name].append((perf_counter() - begin) / TIMES)
    expected = ways["as it is"][1]
    for name, (_, gradient) in ways.items():
        error = float((gradient - expected).norm() / expected.norm())
        assert error < 0.05, f"{name}: the gradient is another"
        print(f"{name}: {size / median(taken[name]):,.0f} samples a second, {1e3 * median(taken[name]):.2f} ms each")


if __name__ == "__main__":
    parser = options(__doc__)
    parser.add_argument("--size", type=int, default=0, help="of the minibatch; by default 64, on a GPU 4,096")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    asked = parser.parse_args()
    place = torch.device(asked.device)
    main(place, asked.size or (4096 if place.type == "cuda" else 64), getattr(torch, asked.precision))
