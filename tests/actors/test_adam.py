from __future__ import annotations

import math
import subprocess
import sys
from copy import deepcopy

import pytest
import torch
from torch import nn

from actors.adam import Adam

GRADIENTS = ([0.5, 3.0], [-0.1, 0.0], [0.2, -1.0], [1e-4, 5.0])


def test_each_weight_moves_by_its_mean_gradient_over_the_root_of_its_mean_square() -> None:
    vector = nn.Parameter(torch.tensor([1.0, -2.0]))
    optimiser = Adam([vector], epsilon=0.01)
    values, averages, squares = [1.0, -2.0], [0.0, 0.0], [0.0, 0.0]
    for steps, gradients in enumerate(GRADIENTS, start=1):
        vector.grad = torch.tensor(gradients)
        optimiser.step(learning_rate=0.1)
        for index, gradient in enumerate(gradients):
            averages[index] = 0.9 * averages[index] + 0.1 * gradient
            squares[index] = 0.999 * squares[index] + 0.001 * gradient**2
            average, square = averages[index] / (1 - 0.9**steps), squares[index] / (1 - 0.999**steps)
            values[index] -= 0.1 * average / (math.sqrt(square) + 0.01)
    assert vector.tolist() == pytest.approx(values, rel=1e-5)


def test_it_is_torchs_to_the_last_bit_and_goes_on_so_after_it_was_saved() -> None:
    generator = torch.Generator().manual_seed(0)
    mine = [nn.Parameter(torch.randn(shape, generator=generator)) for shape in ((3, 5), (7,))]
    torchs = [nn.Parameter(parameter.detach().clone()) for parameter in mine]
    reference = torch.optim.Adam(torchs, lr=1e-3, eps=1e-5, fused=True)
    optimiser = Adam(mine, epsilon=1e-5)
    for step in range(6):
        if step == 3:
            saved, optimiser = deepcopy(optimiser.state_dict()), Adam(mine, epsilon=1e-5)
            optimiser.load_state_dict(saved)
        reference.param_groups[0]["lr"] = 1e-3 / (step + 1)
        for parameter, other in zip(mine, torchs, strict=True):
            parameter.grad = torch.randn(parameter.shape, generator=generator)
            other.grad = parameter.grad.clone()
        optimiser.step(1e-3 / (step + 1))
        reference.step()
        for parameter, other in zip(mine, torchs, strict=True):
            assert torch.equal(parameter, other)


def test_a_step_does_not_import_the_compiler() -> None:
    code = (
        "import sys, torch; from actors.adam import Adam\n"
        "p = torch.nn.Parameter(torch.zeros(3)); p.grad = torch.ones(3); Adam([p]).step(0.1)\n"
        "print(p.tolist(), 'torch._dynamo' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split("] ")[1] == "False\n"
