import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.records import TrajectoryError
from actors.trajectory import Clip, Hidden, Rollout, Segment


def rollout_parts(steps, envs, width=2, actions=(1,), seed=0):
    random = np.random.default_rng(seed)
    terminated, truncated = random.random((2, steps, envs)) < 0.2
    ends = np.argwhere(terminated | truncated)
    return {
        "observations": random.standard_normal((steps + 1, envs, width)).astype(np.float32),
        "actions": random.standard_normal((steps, envs, *actions)).astype(np.float32),
        "log_probs": np.zeros((steps, envs), np.float32),
        "terminated": terminated,
        "truncated": truncated,
        "ends": ends,
        "final_observations": np.zeros((len(ends), width), np.float32),
        "policy_version": 3,
        "worker": 0,
    }


@given(steps=st.integers(1, 6), envs=st.integers(1, 5), width=st.integers(1, 4), seed=st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_a_rollout_of_right_shapes_is_accepted(steps, envs, width, seed):
    assert Rollout(**rollout_parts(steps, envs, width, seed=seed)).num_steps == steps * envs


ARRAYS = ["observations", "actions", "log_probs", "terminated", "truncated", "ends", "final_observations"]


@given(name=st.sampled_from(ARRAYS), axis=st.integers(0, 1), seed=st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_a_rollout_with_one_array_too_long_is_refused(name, axis, seed):
    """One row or column more in any one array."""
    parts = rollout_parts(4, 3, seed=seed)
    widths = [(0, 0)] * parts[name].ndim
    widths[axis] = (0, 1)
    parts[name] = np.pad(parts[name], widths)
    with pytest.raises(TrajectoryError):
        Rollout(**parts)


def test_ends_must_be_exactly_the_ended_steps_in_order():
    parts = rollout_parts(4, 3, seed=1)
    parts["terminated"][:], parts["truncated"][:] = False, False
    parts["truncated"][[1, 2], [0, 1]] = True
    good = {**parts, "ends": np.array([[1, 0], [2, 1]]), "final_observations": np.zeros((2, 2), np.float32)}
    assert len(Rollout(**good).ends) == 2
    for ends in ([[2, 1], [1, 0]], [[1, 0], [2, 2]]):
        with pytest.raises(TrajectoryError, match="ends must list every terminated or truncated step"):
            Rollout(**{**good, "ends": np.array(ends)})


def test_a_rollout_has_no_reward_that_a_learner_could_read():
    assert not [field.name for field in dataclasses.fields(Rollout) if "reward" in field.name]


def test_records_are_frozen():
    rollout = Rollout(**rollout_parts(2, 2))
    with pytest.raises(dataclasses.FrozenInstanceError):
        rollout.worker = 1  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(
    ("rewards", "states"), [((4,), (4, 3, 2)), ((4, 3), (4, 3)), ((4, 3), (3, 4, 2)), ((4, 3), (5, 3, 2))]
)
def test_hidden_of_wrong_shapes_is_refused(rewards, states):
    with pytest.raises(TrajectoryError):
        Hidden(np.zeros(rewards, np.float32), np.zeros(states, np.float32))


@pytest.mark.parametrize(("observations", "actions"), [((0, 2), (0, 1)), ((3, 2), (4, 1)), ((4, 2), (3,))])
def test_a_segment_needs_steps_and_as_many_actions_as_observations(observations, actions):
    with pytest.raises(TrajectoryError):
        Segment(np.zeros(observations, np.float32), np.zeros(actions, np.float32))


@pytest.mark.parametrize("states", [(2, 4), (3,), (3, 4, 1)])
def test_a_clip_needs_a_state_for_every_step(states):
    segment = Segment(np.zeros((3, 2), np.float32), np.zeros((3, 1), np.float32))
    assert len(segment) == 3
    assert Clip("a", segment, np.zeros((3, 0), np.float32), 1.0, 0).segment is segment
    with pytest.raises(TrajectoryError, match=r"states must be \[L=3, S\]"):
        Clip("a", segment, np.zeros(states, np.float32), 1.0, 0)
