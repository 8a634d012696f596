from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from actors.small_world import Grid
from actors.tasks import make_task
from actors.trajectory import Clip, Segment
from labeling.paths import describe_grid, grid_of, path_of
from labeling.show import Show


def clip(cells: list[int], num_cells: int = 25) -> Clip:
    observations = np.eye(num_cells, dtype=np.float32)[cells]
    segment = Segment(observations, np.zeros(len(cells), np.int64))
    return Clip("-".join(map(str, cells)), segment, np.empty((len(cells), 0), np.float32), 0.0, 1)


def test_a_run_of_the_small_world_is_shown_as_paths():
    show = Show(make_task("small-world"))
    assert show.drawable
    assert show.strips is None
    assert show.description()["grid"] == {"size": 5, "goal": 18, "home": 0}
    shown = show.pair(clip([0, 1, 6]), clip([4, 4, 9]), "a-query")
    assert shown == {
        "left": {"steps": 3, "step_s": 0.25, "cells": [0, 1, 6]},
        "right": {"steps": 3, "step_s": 0.25, "cells": [4, 4, 9]},
    }


def test_the_grid_is_the_one_that_is_played_on():
    task = dataclasses.replace(make_task("small-world"), environment_kwargs={"size": 7, "goal": (0, 6)})
    grid = grid_of(task)
    assert grid == Grid(7, (0, 6))
    assert describe_grid(grid) == {"size": 7, "goal": 6, "home": 0}
    assert grid_of(make_task("cart-pole")) is None


def test_what_is_no_path_is_refused():
    segment = Segment(np.full((3, 25), 0.5, np.float32), np.zeros(3, np.int64))
    with pytest.raises(ValueError, match="not of a grid world"):
        path_of(Clip("clip", segment, np.empty((3, 0), np.float32), 0.0, 1))
