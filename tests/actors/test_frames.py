import numpy as np
import torch

from actors.frames import Sight, stacked
from actors.networks import stacked_tensor

PICTURES = np.arange(9 * 2 * 3 * 5, dtype=np.uint8).reshape(9, 2, 3, 5)  # 9 steps of 2 environments
SHAPE = (4, 3, 5)


def test_unstacked_storage_equals_stacked() -> None:
    obvious = np.array([[PICTURES[t : t + 4, b] for b in range(2)] for t in range(6)])
    assert np.array_equal(stacked(PICTURES, 4), obvious)
    assert np.array_equal(stacked_tensor(torch.from_numpy(PICTURES), 4, dim=0).numpy(), obvious)


def test_a_clips_pictures_become_the_same_stacks_as_its_rollouts() -> None:
    stacks = stacked_tensor(torch.from_numpy(PICTURES).transpose(0, 1), 4, dim=-3)
    assert np.array_equal(stacks.numpy(), stacked(PICTURES, 4).swapaxes(0, 1))


def test_what_is_no_stack_is_left_as_it_is() -> None:
    rows = np.zeros((5, 2, 3), np.float32)
    assert stacked(rows, 1) is rows


def test_sight_shows_the_latest_pictures_and_begins_with_the_first_one_alone() -> None:
    sight = Sight(SHAPE, PICTURES[0])
    assert (sight.observations == PICTURES[0][:, None]).all()
    for picture in PICTURES[1:6]:
        sight.push(picture)
    assert np.array_equal(sight.observations, PICTURES[2:6].swapaxes(0, 1))
