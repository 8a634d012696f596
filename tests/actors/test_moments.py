"""Moments that are kept block by block are those of everything seen."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.moments import RunningMoments


@given(seed=st.integers(0, 2**32 - 1), sizes=st.lists(st.integers(1, 30), min_size=1, max_size=6))
@settings(max_examples=50, deadline=None)
def test_running_moments_are_those_of_everything_seen(seed, sizes):
    random = np.random.default_rng(seed)
    blocks = [100 * random.standard_normal(2) + random.standard_normal((size, 2)) for size in sizes]
    moments = RunningMoments.of_shape(2)
    for block in blocks:
        moments.update(block.astype(np.float32))
    everything = np.concatenate(blocks).astype(np.float32).astype(np.float64)
    np.testing.assert_allclose(moments.mean, everything.mean(0), rtol=1e-9)
    np.testing.assert_allclose(moments.variance, everything.var(0), rtol=1e-6, atol=1e-9)
    assert moments.count == sum(sizes)


def test_they_go_on_from_their_state():
    random = np.random.default_rng(0)
    first, second = random.standard_normal((2, 50, 3, 2))
    whole, begun = RunningMoments.of_shape(3, 2), RunningMoments.of_shape(3, 2)
    for moments in (whole, begun):
        moments.update(first)
    resumed = RunningMoments.from_state(begun.state_dict())
    begun.update(random.standard_normal((5, 3, 2)))  # the state is a copy
    for moments in (whole, resumed):
        moments.update(second)
    assert np.array_equal(whole.mean, resumed.mean)
    assert np.array_equal(whole.std, resumed.std)
    assert whole.count == resumed.count == 100
