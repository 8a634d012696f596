"""A Redis that dies or falls silent is mended beside those who go on without it."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from cluster import redis_server
from cluster.redis_care import RedisCare
from cluster.redis_server import PrivateRedis, RedisServerError
from cluster.writing import WritingError
from reward_service.client import connect
from tests.waiting import wait_until

pytestmark = pytest.mark.redis


@pytest.fixture
def private(tmp_path: Path) -> Iterator[PrivateRedis]:
    server = PrivateRedis(tmp_path)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def said() -> list[str]:
    return []


def kill(process_id: int) -> None:
    os.kill(process_id, signal.SIGKILL)


def freeze(process_id: int) -> None:
    os.kill(process_id, signal.SIGSTOP)


def find_away(care: RedisCare, error: Exception | None = None) -> None:
    """As whoever needs Redis does."""

    def work() -> None:
        raise error or redis.ConnectionError("gone")

    care.attempt(work)


@pytest.mark.parametrize("harm", [kill, freeze])
def test_a_private_server_is_started_again_with_all_that_it_acknowledged(
    private: PrivateRedis, said: list[str], monkeypatch: pytest.MonkeyPatch, harm: Callable[[int], None]
) -> None:
    monkeypatch.setattr(redis_server, "SILENT_S", 3.0)  # one that starts more slowly would be started twice
    monkeypatch.setattr("reward_service.client.TIMEOUT_S", 0.5)
    client = connect(private.url)
    client.set("label", "left")
    before = private.process_id
    assert before is not None
    care = RedisCare(private.url, private, lambda _, text: said.append(text))
    start, has_looked = private.start, threading.Event()
    monkeypatch.setattr(private, "start", lambda: has_looked.wait(30) and start())
    harm(before)
    with pytest.raises((redis.ConnectionError, redis.TimeoutError)) as lost:
        client.ping()
    find_away(care, lost.value)
    find_away(care, lost.value)  # and whoever finds the same
    assert not care.is_well, "whoever says so does not wait for the mending"
    assert care.as_row()["state"] == "away"
    has_looked.set()
    wait_until(lambda: care.is_well, 30, "Redis to be mended")
    assert client.get("label") == b"left"
    assert private.process_id != before
    told = {"name": "Redis", "state": "at work", "silent_s": 0.0, "restarts": 1, "why": str(lost.value)}
    assert care.as_row() == {**told, "process_id": private.process_id}
    assert [line.split(" (")[0] for line in said[:1]] == ["Redis did not answer"]
    assert said[-1].startswith("Redis answers again after")
    assert len(said) == 2
    care.close()


def test_a_given_server_is_waited_for(private: PrivateRedis, said: list[str]) -> None:
    care = RedisCare(private.url, None, lambda _, text: said.append(text))
    assert private.process_id is not None
    os.kill(private.process_id, signal.SIGKILL)
    find_away(care)
    time.sleep(0.3)
    assert not care.is_well
    private.start()
    wait_until(lambda: care.is_well, 30, "Redis to be found again")
    care.close()


def test_a_full_disk_does_not_keep_it_from_being_found_again(private: PrivateRedis) -> None:
    def tell(_: str, text: str) -> None:
        if "again" in text:
            raise WritingError("cannot write events.log (No space left on device); free some space")

    care = RedisCare(private.url, private, tell)
    find_away(care)
    wait_until(lambda: care.is_well, 30, "Redis to be found again")
    care.close()


def test_a_run_that_ends_while_redis_is_away_does_not_wait_for_it(said: list[str]) -> None:
    care = RedisCare("unix:///nowhere/redis.sock", None, lambda _, text: said.append(text))
    find_away(care)
    begin_s = time.monotonic()
    care.close()
    assert time.monotonic() - begin_s < 2.0
    assert not care.is_well


def test_what_needs_redis_is_left_out_while_it_is_away(said: list[str]) -> None:
    care, done = RedisCare("unix:///nowhere/redis.sock", None, lambda _, text: said.append(text)), list[str]()

    def fail() -> None:
        done.append("tried")
        raise redis.TimeoutError("silent")

    care.attempt(lambda: done.append("at work"))
    care.attempt(fail)
    care.attempt(lambda: done.append("too early"))
    assert done == ["at work", "tried"]
    assert (care.failures, care.is_well) == (1, False)
    care.close()


def test_other_failures_are_not_put_down_to_redis(said: list[str]) -> None:
    care = RedisCare("", None, lambda _, text: said.append(text))
    with pytest.raises(ZeroDivisionError):
        care.attempt(lambda: 1 / 0)
    assert care.is_well
    assert said == []


class Unstartable:
    """A private server whose file is damaged."""

    restarts, process_id, starts = 0, None, 0

    def start(self) -> None:
        self.starts += 1
        raise RedisServerError("repair its append-only file" if self.starts > 2 else "free some disk space")


def test_one_that_does_not_start_any_more_ends_the_run_with_the_reason(
    said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RedisCare, "TRY_EVERY_S", 0.001)
    monkeypatch.setattr(RedisCare, "MAX_PAUSE_S", 0.002)
    server = Unstartable()
    care = RedisCare("unix:///nowhere", server, lambda _, text: said.append(text))  # pyright: ignore
    find_away(care)
    wait_until(lambda: server.starts == RedisCare.GIVE_UP_AFTER, 10)
    care.close()
    with pytest.raises(RedisServerError, match="repair its append-only file; then continue with --resume"):
        care.attempt(lambda: None)
    assert server.starts == RedisCare.GIVE_UP_AFTER, "nobody tries again"
    assert care.as_row()["why"] == "repair its append-only file"
    assert said[1:] == [
        "Redis does not start again: free some disk space",
        "Redis does not start again: repair its append-only file",
    ]
