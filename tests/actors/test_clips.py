import dataclasses
import hashlib
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.clips import ShortRollouts, cut_clips
from actors.spaces import ActionSpec
from actors.trajectory import Hidden, Rollout

BOX = ActionSpec(1, 0, (-1.0,), (1.0,))


def record(steps, envs, ends, seed=0):
    """Observations [t, b, episode of b]; rewards random; states number the steps."""
    random = np.random.default_rng(seed)
    truncated = np.zeros((steps, envs), bool)
    for t, b in ends:
        truncated[t, b] = True
    episode = np.concatenate((np.zeros((1, envs)), truncated.cumsum(0)))
    t, b = np.meshgrid(np.arange(steps + 1), np.arange(envs), indexing="ij")
    observations = np.stack((t, b, episode), -1).astype(np.float32)
    rollout = Rollout(
        observations=observations,
        actions=3 * random.standard_normal((steps, envs, 1)).astype(np.float32),
        log_probs=np.zeros((steps, envs), np.float32),
        terminated=np.zeros_like(truncated),
        truncated=truncated,
        ends=np.argwhere(truncated),
        final_observations=np.zeros((int(truncated.sum()), 3), np.float32),
        policy_version=11,
        worker=0,
    )
    rewards = random.standard_normal((steps, envs)).astype(np.float32)
    return rollout, Hidden(rewards, observations[:-1, :, :2].copy())


@given(data=st.data(), steps=st.integers(1, 30), envs=st.integers(1, 3), clip_steps=st.integers(1, 8))
@settings(max_examples=60, deadline=None)
def test_clips_never_cross_an_end_and_none_that_fits_is_lost(data, steps, envs, clip_steps):
    places = st.tuples(st.integers(0, steps - 1), st.integers(0, envs - 1))
    ends = data.draw(st.sets(places, max_size=6))
    rollout, hidden = record(steps, envs, ends)
    clips = cut_clips(rollout, hidden, clip_steps, BOX)
    used = set()
    for clip in clips:
        t, b, episode = clip.segment.observations.T.astype(int)
        assert len(clip.segment) == clip_steps
        assert len(set(b)) == len(set(episode)) == 1
        assert (np.diff(t) == 1).all()
        assert used.isdisjoint(zip(t, b, strict=True))
        used |= set(zip(t, b, strict=True))
        assert clip.true_return == pytest.approx(sum(hidden.true_rewards[t, b].astype(float)))
        np.testing.assert_array_equal(clip.segment.actions, np.clip(rollout.actions[t, b], -1, 1))
        np.testing.assert_array_equal(clip.states, hidden.states[t, b])
        assert clip.policy_version == 11
    lengths = []
    for b in range(envs):
        stops = [0, *sorted(t + 1 for t, env in ends if env == b), steps]
        lengths += [stop - start for start, stop in pairwise(stops)]
    assert len(clips) == sum(length // clip_steps for length in lengths)


def test_a_rollout_shorter_than_a_clip_gives_none():
    assert cut_clips(*record(4, 2, []), clip_steps=5, action=BOX) == []


def test_short_rollouts_are_kept_by_worker_until_they_are_a_clip_and_forgotten_where_one_is_missing():
    short, (rollout, _) = ShortRollouts(5), record(2, 1, [])

    def add(worker, first_step):
        return short.add(dataclasses.replace(rollout, worker=worker, first_step=first_step), (worker, first_step))

    assert [add(0, 0), add(1, 0), add(0, 2), add(1, 2)] == [[]] * 4
    assert add(0, 4) == [(0, 0), (0, 2), (0, 4)]
    assert add(1, 6) == []  # the one at 4 was dropped
    assert [add(1, 8), add(1, 10)] == [[], [(1, 6), (1, 8), (1, 10)]]
    assert [add(0, 6), add(0, 8), add(0, 0)] == [[]] * 3  # of another process
    short.forget()
    assert [add(0, 2), add(0, 4)] == [[]] * 2


def test_ids_are_those_of_the_contents():
    rollout, hidden = record(12, 2, [(5, 0)])
    clips, again = (cut_clips(rollout, hidden, 3, BOX) for _ in range(2))
    assert [clip.clip_id for clip in clips] == [clip.clip_id for clip in again]
    assert len({clip.clip_id for clip in clips}) == len(clips) == 8
    first = clips[0]
    expected = hashlib.blake2b(
        first.segment.observations.tobytes() + first.segment.actions.tobytes() + first.states.tobytes(), digest_size=16
    )
    assert first.clip_id == expected.hexdigest()
    rollout.actions[0, 0] *= -0.01
    assert cut_clips(rollout, hidden, 3, BOX)[0].clip_id != first.clip_id


def test_the_late_return_counts_what_comes_last_most():
    rollout, hidden = record(6, 1, [])
    rewards = hidden.true_rewards[:3, 0].astype(np.float64)
    clip = cut_clips(rollout, hidden, 3, BOX)[0]
    assert clip.late_return == pytest.approx(0.81 * rewards[0] + 0.9 * rewards[1] + rewards[2])
    assert clip.true_return == pytest.approx(rewards.sum())


def test_a_clip_does_not_keep_its_rollout_alive():
    clip = cut_clips(*record(12, 2, []), clip_steps=3, action=BOX)[0]
    for array in (clip.segment.observations, clip.segment.actions, clip.states):
        assert array.base is None
        assert array.flags.c_contiguous


def test_discrete_actions_stay_whole_numbers():
    rollout, hidden = record(6, 1, [])
    rollout = Rollout(**{**rollout.__dict__, "actions": np.arange(6).reshape(6, 1)})
    clips = cut_clips(rollout, hidden, 3, ActionSpec(0, 6))
    assert [clip.segment.actions.tolist() for clip in clips] == [[0, 1, 2], [3, 4, 5]]
    assert clips[0].segment.actions.dtype == np.int64
