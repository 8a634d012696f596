"""Signals are heard, but not in the middle of what must be whole."""

from __future__ import annotations

import signal

import pytest

from cluster.interrupts import terminated_like_interrupted, undisturbed


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_waits_until_what_is_under_way_is_done(number: signal.Signals) -> None:
    done: list[str] = []

    def work() -> None:
        with undisturbed():
            signal.raise_signal(number)
            signal.raise_signal(number)
            done.append("whole")
        done.append("never")

    with terminated_like_interrupted(), pytest.raises(KeyboardInterrupt):
        work()
    assert done == ["whole"]


def test_without_a_signal_nothing_is_changed() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with terminated_like_interrupted():
        with undisturbed():
            assert signal.getsignal(signal.SIGINT) is not before[0]
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_what_fails_undisturbed_fails_as_it_would() -> None:
    def work() -> None:
        with undisturbed():
            signal.raise_signal(signal.SIGINT)  # the failure is told, not the wish to stop
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        work()
