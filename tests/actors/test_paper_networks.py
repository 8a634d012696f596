"""Mnih et al.'s networks counted by hand: what is written here is read from the papers, not from our tables."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from actors.policy import ActorCritic, PolicyConfig
from actors.spaces import ActionSpec

LAYERS = {
    "mnih-2013": ([(16, 4, 8, 8), (32, 16, 4, 4)], [4, 2], [20, 9], 256),
    "mnih-2015": ([(32, 4, 8, 8), (64, 32, 4, 4), (64, 64, 3, 3)], [4, 2, 1], [20, 9, 7], 512),
}
"""Filters (number, channels, height, width), strides, sides of what they give, and the width of the layer after."""
PARAMETERS = {
    "mnih-2013": 16 * 4 * 64 + 16 + 32 * 16 * 16 + 32 + 9 * 9 * 32 * 256 + 256,
    "mnih-2015": 32 * 4 * 64 + 32 + 64 * 32 * 16 + 64 + 64 * 64 * 9 + 64 + 7 * 7 * 64 * 512 + 512,
}


@torch.no_grad()
@pytest.mark.parametrize("name", LAYERS)
def test_a_torso_is_the_papers_layer_for_layer(name: str) -> None:
    filters, strides, sides, width = LAYERS[name]
    policy = ActorCritic(PolicyConfig(torso=name), (4, 84, 84), ActionSpec(0, 6))  # pyright: ignore[reportArgumentType]
    parameters = list(policy.torso.parameters())
    assert sum(parameter.numel() for parameter in parameters) == PARAMETERS[name]
    assert sum(each.numel() for each in policy.parameters()) == PARAMETERS[name] + width * (6 + 1) + 6 + 1
    assert [tuple(weight.shape) for weight in parameters[:-2:2]] == filters
    hidden = torch.rand(3, 4, 84, 84)
    found = policy.torso(hidden)
    for weight, bias, stride, side in zip(parameters[:-2:2], parameters[1:-2:2], strides, sides, strict=True):
        hidden = F.relu(F.conv2d(hidden, weight, bias, stride))
        assert hidden.shape[-2:] == (side, side)
    hidden = F.relu(hidden.flatten(1) @ parameters[-2].T + parameters[-1])
    assert found.shape == (3, width)
    torch.testing.assert_close(found, hidden, rtol=1e-4, atol=1e-5)
