"""RayServices on a real Ray, with hosts that need neither Redis nor torch."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import ray
from ray.exceptions import OutOfMemoryError, RayActorError

from cluster.launch import connect_ray
from cluster.machine import num_cores
from cluster.ray_member import Gathered
from cluster.ray_services import RayServices
from cluster.supervise import ComponentFailure, Life, SupervisionConfig
from tests.cluster.fake_hosts import FakeService, SilentService, SlowService
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
def kinds() -> list[type[FakeService]]:
    """Of the next to be started, and of all after it."""
    return [FakeService]


@pytest.fixture
def started() -> Iterator[list[Any]]:
    started: list[Any] = []
    yield started
    for host in started:
        ray.kill(host)


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def services(life: Life, kinds: list[type[FakeService]], started: list[Any], said: list[str]) -> RayServices:
    remote: Any = ray.remote

    def start() -> Any:
        started.append(remote(num_cpus=0, max_concurrency=4)(kinds[-1]).remote())
        return started[-1]

    services = RayServices(
        {"reward_service": start}, {"reward_service": life}, Gathered(1), lambda name, text: said.append(name + text)
    )
    wait_until(lambda: (services.advance(), life.process_id is not None)[1], 60)
    return services


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
    restarts = life.restarts
    attend(services, 1.0)
    assert life.restarts == restarts, "the new one does something"


def test_what_a_service_refuses_is_told_as_it_said_it(services: RayServices) -> None:
    with pytest.raises(ValueError, match=r"^this is the log of another run$") as raised:
        services.load_state_dict({"reward_service": {}})
    assert "in load_state_dict" in str(raised.value.__cause__), "and where it did"


def test_what_a_service_breaks_at_while_it_takes_in_a_rollout_is_told_with_its_traceback(services: RayServices) -> None:
    services.observe([], -1)
    time.sleep(RayServices.OBSERVE_EVERY_S)
    with pytest.raises(KeyError) as raised:
        wait_until(lambda: services.observe([], 0) is not None, 30)
    assert "in observe" in str(raised.value.__cause__)


def test_the_traceback_of_a_service_that_failed_is_told_once(
    services: RayServices, started: list[Any], said: list[str]
) -> None:
    started[0].fail.remote("KeyError: 'clip'; continue with --resume when that is mended", "Traceback ... in step")
    with pytest.raises(ComponentFailure, match=r"^the reward_service stopped: KeyError: 'clip'; continue"):
        wait_until(lambda: services.advance() is not None, 30)
    assert said == ["reward serviceTraceback ... in step"]


@pytest.mark.parametrize(
    "ask", [RayServices.advance, RayServices.state_dict], ids=["watched", "asked for what it knows"]
)
def test_a_service_that_is_ended_since_memory_is_short_is_started_again(
    services: RayServices,
    life: Life,
    started: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    ask: Callable[[RayServices], Any],
) -> None:
    """What Ray raises then is no RayActorError."""
    get = ray.get

    def short_of_memory(reference: Any) -> Any:
        try:
            return get(reference)
        except RayActorError as error:
            raise OutOfMemoryError("Task was killed due to the node running low on memory.\nMemory on") from error

    monkeypatch.setattr(ray, "get", short_of_memory)
    started[0].end.remote()
    wait_until(lambda: (ask(services), life.restarts == 1)[1], 60)
    wait_until(lambda: (services.advance(), life.process_id is not None)[1], 60)
    assert life.as_row()["why"] == "Task was killed due to the node running low on memory"


def test_one_that_never_said_which_process_it_is_costs_nobody_else_a_process(
    services: RayServices,
    life: Life,
    started: list[Any],
    kinds: list[type[FakeService]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its predecessor's number may be anybody's by now."""
    killed: list[int] = []
    monkeypatch.setattr(os, "kill", lambda process_id, _: killed.append(process_id))
    kinds.append(SilentService)
    started[0].end.remote()
    wait_until(lambda: (services.advance(), life.restarts == 1)[1], 60)
    monkeypatch.setattr(Life, "patience_s", 0.5)
    wait_until(lambda: (services.advance(), life.restarts == 2)[1], 60)
    assert killed == []


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
    services = RayServices(starts, lives, Gathered(1), lambda *_: None)
    (quick,), (slow,) = started["quick"], started["slow"]
    wait_until(lambda: (services.observe([], 0), lives["quick"].process_id is not None)[1], 120)
    assert not begun(quick)
    wait_until(lambda: (services.observe([], 0), begun(quick) and begun(slow))[1], 120)
    quick.end.remote()
    wait_until(lambda: (services.advance(), len(started["quick"]) == 2)[1], 120)
    wait_until(lambda: begun(started["quick"][1]), 120)
    for host in (started["quick"][1], slow):
        ray.kill(host)
