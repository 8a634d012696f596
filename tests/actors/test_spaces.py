import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st

from actors.spaces import ActionSpec, UnsupportedSpaceError, action_spec, observation_shape


def test_a_box_is_mapped_from_minus_one_and_one_to_its_bounds():
    spec = action_spec(spaces.Box(np.array([-2.0, 0.0]), np.array([2.0, 10.0]), dtype=np.float64))
    assert (spec.size, spec.discrete, spec.num_features, spec.shape) == (2, False, 2, (2,))
    actions = np.array([[-1.0, -1.0], [0.0, 0.0], [1.0, 1.0]])
    assert spec.to_environment(actions).tolist() == [[-2, 0], [0, 5], [2, 10]]


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=3, max_size=3))
def test_what_is_executed_lies_within_the_bounds(sampled):
    spec = ActionSpec(3, 0, (-1.0, -0.4, 0.0), (1.0, 0.4, 3.0))
    real = spec.to_environment(spec.executed(np.array(sampled, np.float32)))
    assert (np.array(spec.low) <= real).all()
    assert (real <= np.array(spec.high)).all()


def test_an_unbounded_coordinate_is_neither_clipped_nor_scaled():
    spec = action_spec(spaces.Box(np.array([-np.inf, -4.0]), np.array([np.inf, 4.0]), dtype=np.float64))
    executed = spec.executed(np.array([100.0, 100.0], np.float32))
    assert executed.tolist() == [100, 1]
    assert spec.to_environment(executed).tolist() == [100, 4]


def test_a_coordinate_with_one_bound_keeps_to_it():
    spec = action_spec(spaces.Box(np.array([0.0, -np.inf]), np.array([np.inf, 3.0]), dtype=np.float64))
    for sampled, expected in (([-5.0, -5.0], [0, -5]), ([5.0, 5.0], [5, 3])):
        executed = spec.executed(np.array(sampled, np.float32))
        assert spec.to_environment(executed).tolist() == expected


def test_a_unit_box_is_passed_on_as_it_is():
    spec = action_spec(spaces.Box(-1, 1, (2,)))
    actions = np.zeros(2, np.float32)
    assert spec.to_environment(actions) is actions


def test_a_discrete_space_is_its_number_of_choices():
    spec = action_spec(spaces.Discrete(4))
    assert (spec.size, spec.discrete, spec.num_features, spec.shape) == (0, True, 4, ())
    actions = np.array([3, 0])
    assert spec.to_environment(spec.executed(actions)) is actions


@pytest.mark.parametrize(
    "space", [spaces.MultiDiscrete([2, 2]), spaces.MultiBinary(3), spaces.Box(-1, 1, (2, 2)), spaces.Text(3)]
)
def test_other_action_spaces_are_refused_with_a_remedy(space):
    with pytest.raises(UnsupportedSpaceError, match=r"is not supported: .*; wrap the environment"):
        action_spec(space)


def test_observations_are_a_box_of_one_axis():
    assert observation_shape(spaces.Box(-1, 1, (7,))) == (7,)
    for space in (spaces.Box(0, 255, (8, 8, 3), np.uint8), spaces.Discrete(5), spaces.Dict()):
        with pytest.raises(UnsupportedSpaceError, match="FlattenObservation"):
            observation_shape(space)
