import numpy as np
import pytest

from actors.origins import Keyframe, Keyframes, Origin, Origins
from actors.records import TrajectoryError
from actors.trajectory import Clip, Hidden, Segment


def test_origins_reach_back_no_farther_than_what_is_kept():
    seeds, earlier = np.ones((2, 3), np.int64), np.zeros((4, 3, 1), np.float32)
    ages = np.array([[4, 0, 1], [5, 1, 0]])
    origins = Origins(seeds, ages, earlier)
    assert Hidden(np.zeros((2, 3), np.float32), np.zeros((2, 3, 0), np.float32), origins).origins is origins
    for wrong in (
        (seeds[0], ages, earlier),
        (seeds, ages[:1], earlier),
        (seeds, ages, earlier[:, :2]),
        (seeds, ages, earlier[1:]),
        (seeds, -ages, earlier),
    ):
        with pytest.raises(TrajectoryError):
            Origins(*wrong)
    with pytest.raises(TrajectoryError, match="origins must be those"):
        Hidden(np.zeros((3, 3), np.float32), np.zeros((3, 3, 0), np.float32), origins)


def test_an_origin_has_a_seed_and_actions_like_its_clips():
    with pytest.raises(TrajectoryError, match="R >= 1"):
        Origin(np.empty(0, np.int64), np.zeros((2, 1), np.float32))
    segment = Segment(np.zeros((3, 2), np.float32), np.zeros((3, 1), np.float32))
    with pytest.raises(TrajectoryError, match="lead must be"):
        Clip("a", segment, np.zeros((3, 0), np.float32), 1.0, 0, Origin(np.array([1]), np.zeros((2, 4), np.float32)))


def test_keyframes_begin_with_the_first_step_and_ascend():
    states, begun = np.zeros((2, 3, 5), np.uint8), np.full((4, 3), -1)
    assert Keyframes(np.array([0, 2]), states, begun).begun is begun
    for wrong in (
        (np.array([1, 2]), states, begun),
        (np.array([0, 0]), states, begun),
        (np.array([0]), states, begun),
        (np.array([0, 2]), states[:, :2], begun),
        (np.array([0, 2]), states.astype(np.float32), begun),
        (np.array([0, 2]), states, begun[0]),
    ):
        with pytest.raises(TrajectoryError):
            Keyframes(*wrong)


def test_a_keyframe_reaches_to_its_clips_end():
    state, lead = np.zeros(5, np.uint8), np.zeros(2, np.int64)
    segment = Segment(np.zeros((3, 2), np.float32), np.zeros(3, np.int64))
    states = np.zeros((3, 0), np.float32)
    whole = Keyframe(state, lead, np.full(5, -1))
    assert Clip("a", segment, states, 1.0, 0, whole).origin is whole
    with pytest.raises(TrajectoryError, match="must reach to the clip's end"):
        Clip("a", segment, states, 1.0, 0, Keyframe(state, lead, np.full(4, -1)))
    with pytest.raises(TrajectoryError, match=r"begun must be \[M \+ L\]"):
        Keyframe(state, lead, np.full(2, -1))
