"""A service's share of a core is kept by sleeping, and given up while the agent waits for it."""

from __future__ import annotations

import os
import threading
import time
from typing import Any

import psutil
import pytest
import redis
import torch

from actors.failures import Failure
from cluster.hosts import ServiceHost
from tests.waiting import wait_until

WORK_S = 0.02


class Busy:
    """Uses WORK_S of processor time a step, and counts the steps."""

    def __init__(self) -> None:
        self.steps, self.work_s = 0, WORK_S
        self.says: dict[str, float] = {}
        self.news = False
        self.raises: Exception | None = None

    def step(self) -> dict[str, float]:
        if self.raises is not None:
            error, self.raises = self.raises, None
            raise error
        begin = time.thread_time()
        while time.thread_time() - begin < self.work_s:
            pass
        self.steps += 1
        return {"steps": float(self.steps), **self.says}

    def has_news(self) -> bool:
        return self.news


@pytest.fixture(autouse=True)
def _same_niceness_after(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "nice", lambda _: 0)  # of the process of the tests


def host_of(service: Busy, share: float, steady_share: float = 1.0) -> ServiceHost:
    spec: Any = None
    host = ServiceHost(spec, lambda _: service, share, steady_share)  # pyright: ignore[reportArgumentType]
    host.begin()
    return host


def end(host: ServiceHost) -> None:
    """With its next step: it knows no end of its own."""

    def over() -> dict[str, float]:
        raise Failure("the test is over")

    host._service.step = over
    host.hurry(True)
    host.begin()


def used_s(host: ServiceHost, seconds: float) -> float:
    """Processor seconds that the host's thread uses for each second that goes by."""
    thread = host._thread.native_id

    def used() -> float:
        each = next(one for one in psutil.Process().threads() if one.id == thread)
        return each.user_time + each.system_time

    before, begin = used(), time.monotonic()
    time.sleep(seconds)
    return (used() - before) / (time.monotonic() - begin)


@pytest.mark.parametrize("share", [0.1, 0.3])
def test_it_uses_its_share_of_a_core_and_no_more(share: float) -> None:
    service = Busy()
    host = host_of(service, share)
    try:
        wait_until(lambda: service.steps > 0)
        assert 0 < used_s(host, 2.0) <= 1.3 * share  # a step is a tenth of what is measured
    finally:
        end(host)


class OnAGPU(Busy):
    """Waits for its device, and uses no processor meanwhile."""

    def step(self) -> dict[str, float]:
        time.sleep(WORK_S)
        self.steps += 1
        return {}


def test_of_a_gpu_it_uses_its_share_though_nothing_is_done_here_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    service = OnAGPU()
    host = host_of(service, 0.2)
    try:
        wait_until(lambda: service.steps > 0)
        before, begin = service.steps, time.monotonic()
        time.sleep(2.0)
        share = (service.steps - before) * WORK_S / (time.monotonic() - begin)
        assert 0 < share <= 1.3 * 0.2
    finally:
        end(host)


def test_what_is_no_longer_behind_uses_less() -> None:
    """Both beside each other, so that both have the same of a machine with much to do."""
    services = behind, calm = Busy(), Busy()
    behind.says, calm.says = {"behind": 1.0}, {"behind": 0.0}
    hosts = [host_of(service, 0.4, 0.1) for service in services]
    try:
        wait_until(lambda: min(behind.steps, calm.steps) > 1)
        before, begin = [service.steps for service in services], time.monotonic()
        wait_until(lambda: behind.steps >= before[0] + 40, every_s=0.02)
        took_s = time.monotonic() - begin
        used = [(service.steps - steps) * WORK_S for service, steps in zip(services, before, strict=True)]
        assert used[0] > 1.2 * used[1]
        assert used[0] <= 1.3 * 0.4 * took_s
        assert used[1] <= 1.3 * 0.1 * took_s
    finally:
        for host in hosts:
            end(host)


def test_news_end_a_long_rest_of_what_is_not_behind() -> None:
    service = Busy()
    service.work_s, service.says = 0.3, {"behind": 0.0}
    host = host_of(service, 0.5, 0.01)  # rests for half a minute
    try:
        wait_until(lambda: service.steps == 1)
        time.sleep(1.0)
        assert service.steps == 1
        service.news = True
        wait_until(lambda: service.steps > 1, 10)
    finally:
        end(host)


def test_while_the_agent_waits_for_it_it_uses_what_it_can_get() -> None:
    bounded, hurried = Busy(), Busy()
    hosts = host_of(bounded, 0.05), host_of(hurried, 0.05)
    try:
        hosts[1].hurry(True)
        wait_until(lambda: hurried.steps > 50)
        assert hurried.steps > 3 * bounded.steps
    finally:
        for host in hosts:
            end(host)


def test_a_step_that_takes_long_counts_as_work_while_it_uses_the_processor() -> None:
    service = Busy()
    service.work_s = 4.0
    host = host_of(service, 1.0)
    try:
        wait_until(lambda: host.status()["done"] >= 2)
        assert service.steps == 0
    finally:
        service.work_s = 0.0
        end(host)


def test_a_long_rest_counts_as_work_and_ends_when_the_agent_waits() -> None:
    service = Busy()
    service.work_s = 0.3
    host = host_of(service, 0.01)  # rests for half a minute
    try:
        wait_until(lambda: service.steps == 1)
        done = host.status()["done"]
        wait_until(lambda: host.status()["done"] >= done + 2)
        assert service.steps == 1
        host.hurry(True)
        wait_until(lambda: service.steps > 1)
    finally:
        end(host)


def test_a_step_that_waits_for_ever_does_not() -> None:
    service, free = Busy(), threading.Event()
    service.step = lambda: {"steps": float(free.wait(30))}  # pyright: ignore[reportAttributeAccessIssue]
    host = host_of(service, 1.0)
    try:
        time.sleep(1.5)
        assert host.status()["done"] == 0
    finally:
        end(host)
        free.set()


def test_it_works_when_it_is_told_to_begin_and_says_until_then_that_it_waits() -> None:
    service, spec = Busy(), None
    host = ServiceHost(spec, lambda _: service, 1.0)  # pyright: ignore[reportArgumentType]
    try:
        wait_until(lambda: host.status()["done"] >= 2)
        assert service.steps == 0
        host.begin()
        wait_until(lambda: service.steps > 0)
    finally:
        end(host)


def test_a_lost_connection_is_waited_out_and_any_other_error_is_told() -> None:
    service = Busy()
    host = host_of(service, 1.0)
    try:
        service.raises = redis.ConnectionError("gone")
        wait_until(lambda: service.raises is None)
        steps = service.steps
        wait_until(lambda: service.steps > steps)
        service.raises = KeyError("clip")
        wait_until(lambda: bool(host.status()["failure"]))
        assert "KeyError" in host.status()["failure"]
        assert "--resume" in host.status()["failure"]
        assert "in step" in host.status()["traceback"]
    finally:
        end(host)


def test_an_expected_failure_is_told_as_its_one_sentence() -> None:
    service = Busy()
    service.raises = Failure("the disk is full; free some space")
    host = host_of(service, 1.0)
    wait_until(lambda: bool(host.status()["failure"]))
    assert (host.status()["failure"], host.status()["traceback"]) == ("the disk is full; free some space", "")
