"""RayServices on a real Ray, with hosts that need neither Redis nor torch."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
import ray

from cluster.launch import connect_ray
from cluster.machine import num_cores
from cluster.ray_member import Gathered
from cluster.ray_services import RayServices
from cluster.supervise import Life, SupervisionConfig
from tests.cluster.fake_hosts import FakeService, SlowService
from tests.waiting import wait_until

pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings("ignore")]  # Ray's own
STUCK_S = 2.0


@pytest.fixture(scope="module", autouse=True)
def _ray() -> Iterator[None]:
    connect_ray("", num_cores())
    yield
    ray.shutdown()


@pytest.fixture
def life() -> Life:
    return Life("reward service", SupervisionConfig(stuck_s=STUCK_S, starting_s=60.0), lambda *_: None)


@pytest.fixture
def services(life: Life) -> Iterator[RayServices]:
    remote: Any = ray.remote
    started: list[Any] = []

    def start() -> Any:
        started.append(remote(num_cpus=0, max_concurrency=4)(FakeService).remote())
        return started[-1]

    services = RayServices({"reward_service": start}, {"reward_service": life}, Gathered(1))
    wait_until(lambda: (services.advance(), life.process_id is not None)[1], 60)
    yield services
    for host in started:
        ray.kill(host)


def attend(services: RayServices, for_s: float) -> None:
    deadline = time.monotonic() + for_s
    while time.monotonic() < deadline:
        services.advance()
        time.sleep(0.05)


def test_a_service_that_nobody_asked_for_a_while_is_not_taken_for_stuck(services: RayServices, life: Life) -> None:
    attend(services, 0.5)
    time.sleep(STUCK_S + 1.0)  # Redis was away, or an update of the policy took long
    attend(services, 1.0)
    assert life.restarts == 0
    assert not life.is_stuck


def test_one_that_answers_and_does_nothing_is_started_again_however_seldom_it_is_asked(
    services: RayServices, life: Life
) -> None:
    services.forget()
    begin = time.monotonic()
    while life.restarts == 0:
        services.advance()
        time.sleep(STUCK_S + 0.5)  # each update takes longer than a service may be silent
        assert time.monotonic() - begin < 30
    attend(services, 1.0)


def test_what_a_service_refuses_is_told_as_it_said_it(services: RayServices) -> None:
    with pytest.raises(ValueError, match=r"^this is the log of another run$"):
        services.load_state_dict({"reward_service": {}})


def test_services_begin_together_once_all_are_built_and_one_that_is_started_again_at_once() -> None:
    """Shown rollouts, while the untrained policy acts, is all that happens to them by then."""
    remote: Any = ray.remote
    started: dict[str, list[Any]] = {"quick": [], "slow": []}

    def starter(name: str, kind: type[FakeService]) -> Any:
        def start() -> Any:
            started[name].append(remote(num_cpus=0, max_concurrency=4)(kind).remote())
            return started[name][-1]

        return start

    def begun(host: Any) -> bool:
        told: Any = ray.get(host.status.remote())
        return bool(told["metrics"]["begun"])

    lives = {name: Life(name, SupervisionConfig(), lambda *_: None) for name in started}
    starts = {"quick": starter("quick", FakeService), "slow": starter("slow", SlowService)}
    services = RayServices(starts, lives, Gathered(1))
    (quick,), (slow,) = started["quick"], started["slow"]
    wait_until(lambda: (services.observe([], 0), lives["quick"].process_id is not None)[1], 120)
    assert not begun(quick)
    wait_until(lambda: (services.observe([], 0), begun(quick) and begun(slow))[1], 120)
    quick.end.remote()
    wait_until(lambda: (services.advance(), len(started["quick"]) == 2)[1], 120)
    wait_until(lambda: begun(started["quick"][1]), 120)
    for host in (started["quick"][1], slow):
        ray.kill(host)
