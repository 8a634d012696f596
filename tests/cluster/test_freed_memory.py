"""What the C library is told, of whatever age it is."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from cluster.freed_memory import keep_freed_memory

TRIM, MMAP, MIB = -1, -3, 1 << 20


@pytest.mark.parametrize(("most_mib", "taken_mib"), [(2048, 1024), (32, 32)], ids=["glibc", "an older glibc"])
def test_each_threshold_is_as_high_as_it_may_be(monkeypatch: pytest.MonkeyPatch, most_mib: int, taken_mib: int) -> None:
    """One that is refused would stay low: with the other set it no longer moves by itself."""
    thresholds: dict[int, int] = {}

    def mallopt(name: int, value: int) -> int:
        if name == MMAP and value > most_mib * MIB:
            return 0
        thresholds[name] = value
        return 1

    monkeypatch.setattr("cluster.freed_memory.ctypes.CDLL", lambda _: SimpleNamespace(mallopt=mallopt))
    keep_freed_memory()
    assert thresholds == {MMAP: taken_mib * MIB, TRIM: 1024 * MIB}


def test_a_library_without_such_thresholds_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cluster.freed_memory.ctypes.CDLL", lambda _: SimpleNamespace())
    keep_freed_memory()
