"""How fast the convolutions of the paper's ensemble are done, by each way of doing three members at once.

    python -m tests.reward_service.convolutions [--device cuda]

In turns, so that other work on the machine falls on all. Not a test: `member_by_member` is how `PictureTorsos` does it,
which is the fastest on a CPU; a GPU may say otherwise. All give the same, or it ends.
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from time import perf_counter

import torch
from torch import Tensor
from torch.nn import functional as F

from reward_service.ensemble_config import TORSOS
from reward_service.picture_torsos import PictureTorsos
from tests.on_device import options, wait_for

MEMBERS, SHAPE, TURNS = 3, (4, 84, 84), 9
Way = Callable[[Tensor], Tensor]
LAYERS = TORSOS["paper"].convolutions


def ways_of(torsos: PictureTorsos) -> dict[str, Way]:
    """Pictures [R, 4, 84, 84] -> [R, E x 16, H, W] after four convolutions, biases and normalisation left out."""
    weights = [weight.detach() for weight in torsos.weights]
    channels = TORSOS["paper"].channels

    def grouped(hidden: Tensor) -> Tensor:
        for layer, (weight, (_, stride)) in enumerate(zip(weights, LAYERS, strict=True)):
            hidden = F.conv2d(hidden, weight, stride=stride, groups=MEMBERS if layer else 1)
        return hidden

    def member_by_member(hidden: Tensor) -> Tensor:
        parts = [hidden] * MEMBERS
        for weight, (_, stride) in zip(weights, LAYERS, strict=True):
            own = weight.split(channels)
            parts = [F.conv2d(part, each, stride=stride) for part, each in zip(parts, own, strict=True)]
        return torch.cat(parts, dim=1)

    wide = [weights[0], *(torch.zeros(len(weight), len(weight), *weight.shape[2:]) for weight in weights[1:])]
    wide = [each.to(weights[0].device) for each in wide]
    for whole, weight in zip(wide[1:], weights[1:], strict=True):
        for member in range(MEMBERS):
            rows = slice(member * channels, (member + 1) * channels)
            whole[rows, rows] = weight[rows]

    def wide_and_mostly_zero(hidden: Tensor) -> Tensor:
        for weight, (_, stride) in zip(wide, LAYERS, strict=True):
            hidden = F.conv2d(hidden, weight, stride=stride)
        return hidden

    return {each.__name__: each for each in (grouped, member_by_member, wide_and_mostly_zero)}


@torch.inference_mode()
def main(device: torch.device, frames: int) -> None:
    generator = torch.Generator().manual_seed(0)
    torsos = PictureTorsos("paper", MEMBERS, 0.0, 0.01, SHAPE, generator).to(device)
    seen = torch.rand(frames, *SHAPE, generator=generator).to(device)
    expected = ways_of(torsos)["grouped"](seen)
    formats = {"channels last": torch.channels_last, "channels first": torch.contiguous_format}
    taken: dict[tuple[str, str], list[float]] = {}
    for _ in range(TURNS):
        for format_name, memory_format in formats.items():
            inputs = seen.contiguous(memory_format=memory_format)
            for name, way in ways_of(torsos).items():
                found = way(inputs)  # also sets up what is set up once
                torch.testing.assert_close(found, expected, rtol=2e-2, atol=2e-3)
                wait_for(device)
                begin = perf_counter()
                way(inputs)
                wait_for(device)
                taken.setdefault((name, format_name), []).append(perf_counter() - begin)
    for (name, format_name), seconds in taken.items():
        print(f"{name}, {format_name}: {frames / median(seconds):,.0f} frames a second")


if __name__ == "__main__":
    parser = options(__doc__)
    parser.add_argument("--frames", type=int, default=0, help="in one go; by default 256, on a GPU 4,096")
    asked = parser.parse_args()
    place = torch.device(asked.device)
    main(place, asked.frames or (4096 if place.type == "cuda" else 256))
